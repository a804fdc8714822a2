"""Whether the traps that a set is there for are gone once it is applied: a shape that none knows is no success."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from trtllm_builder.errors import PatchError, SourceError, Where
from trtllm_builder.patching.conditions import unmet
from trtllm_builder.patching.read import PatchSet
from trtllm_builder.patching.tree import Tree
from trtllm_builder.upstream.build_script import PATH, parse_python, read_flags
from trtllm_builder.upstream.model import Trap
from trtllm_builder.upstream.script_traps import find_script_traps


def check_closed(sets: Sequence[PatchSet], before: Tree, after: Tree, facts: Mapping[str, str]) -> None:
    """Raises PatchError, with all of them, for traps that ``sets`` are to close and that ``after`` still has."""
    wanted = [
        (patch, one.trap)
        for patch in sets
        if unmet(patch.when, before, facts) is None
        for one in patch.closes
        if unmet(one.when, before, facts) is None
    ]
    left = {trap.id: trap for trap in _traps(after)} if wanted else {}
    errors = [_error(patch, left[name], after) for patch, name in wanted if name in left]
    if errors:
        first = errors[0]
        raise PatchError(first.what, where=first.where, remedy=first.remedy, others=tuple(errors[1:]))


def _traps(tree: Tree) -> tuple[Trap, ...]:
    data = tree.read(PATH).data
    if data is None:
        return ()
    try:
        script: ast.Module = parse_python(data, PATH)
        return find_script_traps(script, read_flags(script)[0])
    except SourceError as error:
        raise PatchError(
            f"{PATH} cannot be read: {error.what}", where=Where(str(tree.root / PATH)), remedy=error.remedy
        ) from None


def _error(patch: PatchSet, trap: Trap, tree: Tree) -> PatchError:
    return PatchError(
        f"{patch.name}: the trap {trap.id} is there ({trap.what}), and no operation of the set closes it",
        where=Where(str(tree.root / trap.file), trap.line),
        remedy=f"this tree has another shape than {patch.path / 'patch.yaml'} was written for; mend its operations, "
        "or leave the part on",
    )
