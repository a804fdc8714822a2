"""The plan as a shell script for people who want to run the steps by hand: up to upstream's own wheel, no further."""

from __future__ import annotations

import shlex
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from trtllm_builder.patching.diffs import make_diff
from trtllm_builder.patching.results import PatchPlan
from trtllm_builder.patching.version_label import labelled_changes
from trtllm_builder.plan.model import Plan
from trtllm_builder.text import clean, redact

# Only quoted words go in, and the diff between quoted marks: no line of a unified diff begins with an E.
_TEMPLATE = """\
#!/bin/sh
# Made by trtllm-builder {{ plan.builder }} for profile {{ plan.profile | comment }}.
# It ends at upstream's wheel: nothing here normalises, verifies or records it. Run 'trtllm-build verify' on the result.
# Tools and toolkit must be where this script names them; 'trtllm-build --profile ...' installs them.
{% if redacted %}
# Credentials were left out: put your own where it says ***.
{% endif %}
set -eu
umask 022
{% if directory != source %}
if test -e {{ source | sh }}; then
  echo {{ (source ~ ' is there already; move it away first') | sh }} >&2
  exit 1
fi
mkdir -p {{ source | sh }}
cp -a {{ directory | sh }}/. {{ source | sh }}/
{% endif %}
cd {{ source | sh }}
{% if diff %}
# The patch sets {{ sets | comment }} and the version label.
# git apply takes no fuzz; outside of a repository it skips no file.
GIT_CEILING_DIRECTORIES={{ root | sh }} GIT_DIR=/dev/null git apply -p1 <<'END_OF_PATCH'
{{ diff }}END_OF_PATCH
{% endif %}
test -x {{ argv[0] | sh }} || {{ plan.python.value | sh }} -m venv {{ venv | sh }}
mkdir -p {{ home | sh }}/deep_gemm_cache {{ temporary | sh }}
exec env -i \\
{% for setting in settings %}
  {{ setting | sh }} \\
{% endfor %}
  {{ argv | map('sh') | join(' ') }}
"""


def render_script(plan: Plan, patches: PatchPlan, checkout: Path) -> str:
    """The script for the plan of ``checkout``, with what ``patches`` would change there and the version label.

    Bytes of the checkout that are no UTF-8 stand as surrogates (surrogateescape). Raises as ``labelled_changes`` does.
    """
    root = plan.workspace.value
    world = {setting.name: setting.value for setting in plan.environment}
    environment = Environment(  # noqa: S701 - a shell script, not HTML; the ``sh`` filter quotes
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["sh"] = shlex.quote
    environment.filters["comment"] = lambda text: " ".join(redact(clean(str(text))).split())
    _, changes = labelled_changes(checkout, plan.label, patches.changes)
    diff = make_diff(changes)
    words = [f"{name}={value}" for name, value in world.items()]
    # Not the whole text: in the diff a redacted line of context would fit nowhere.
    settings, argv = [redact(word) for word in words], [redact(word) for word in plan.argv]
    return environment.from_string(_TEMPLATE).render(
        plan=plan,
        redacted=(settings, argv) != (words, list(plan.argv)),
        root=root,
        source=f"{root}/source",
        directory=str(checkout),
        diff=diff,
        sets=", ".join(patch.name for patch in plan.patches),
        venv=f"{root}/venv",
        home=world["HOME"],
        temporary=world["TMPDIR"],
        settings=settings,
        argv=argv,
    )
