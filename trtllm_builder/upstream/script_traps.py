"""All traps of scripts/build_wheel.py, each found by what the script says, not by its release."""

from __future__ import annotations

import ast

from trtllm_builder.upstream.build_script import PATH
from trtllm_builder.upstream.configure_rules import CONFIGURE_RULES
from trtllm_builder.upstream.model import Flag, Trap
from trtllm_builder.upstream.packaging_rules import PACKAGING_RULES
from trtllm_builder.upstream.script_view import Script
from trtllm_builder.upstream.side_effect_rules import SIDE_EFFECT_RULES

_RULES = {**CONFIGURE_RULES, **PACKAGING_RULES, **SIDE_EFFECT_RULES}
SCRIPT_TRAPS = frozenset(_RULES)


def find_script_traps(module: ast.Module, flags: tuple[Flag, ...]) -> tuple[Trap, ...]:
    """All traps of the script, in order of id."""
    script = Script(module, flags)
    found = [
        Trap(name, PATH, line, what) for name, (rule, what) in _RULES.items() if (line := rule(script)) is not None
    ]
    return tuple(sorted(found, key=lambda trap: trap.id))
