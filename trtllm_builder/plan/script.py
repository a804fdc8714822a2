"""The plan as a shell script for people who want to run the steps by hand: up to upstream's own wheel, no further."""

from __future__ import annotations

import shlex

from jinja2 import Environment, StrictUndefined

from trtllm_builder.plan.model import Plan
from trtllm_builder.text import redact

# Only quoted words and the diff (between quoted here-document marks) go in; nothing is pasted together as shell text.
_TEMPLATE = """\
#!/bin/sh
# Made by trtllm-builder {{ plan.builder }} for profile {{ plan.profile | comment }}.
# It ends at upstream's wheel: nothing here normalises, verifies or records it. Run 'trtllm-build verify' on the result.
# Tools and toolkit must be where this script names them; 'trtllm-build --profile ...' installs them.
set -eu
umask 022
{% if directory %}
mkdir -p {{ source | sh }}
cp -a {{ directory | sh }}/. {{ source | sh }}/
cd {{ source | sh }}
{% else %}
mkdir -p {{ source | sh }}
cd {{ source | sh }}
git init -q .
git remote add origin {{ url | sh }}
git fetch -q --depth 1 origin {{ commit | sh }}
git checkout -q --detach FETCH_HEAD
{% if plan.source.submodules %}
git submodule update --init --recursive --depth 1
{% endif %}
{% if plan.source.lfs %}
git lfs pull
{% endif %}
{% endif %}
{% if diff %}
# The patch sets {{ sets | comment }} and the version label. git apply takes no fuzz; the ceiling keeps it in this tree.
GIT_CEILING_DIRECTORIES={{ parent | sh }} GIT_DIR=/dev/null git apply -p1 <<'{{ mark }}'
{{ diff }}{{ mark }}
{% endif %}
test -x {{ python | sh }} || {{ base_python | sh }} -m venv {{ venv | sh }}
mkdir -p {{ home | sh }} {{ temporary | sh }} {{ home | sh }}/deep_gemm_cache
exec env -i \\
{% for setting in plan.environment %}
  {{ (setting.name ~ '=' ~ setting.value) | sh }} \\
{% endfor %}
  {{ argv }}
"""


def render_script(plan: Plan, *, diff: str) -> str:
    """``diff`` is the unified diff of all patch sets and the version label against the plan's checkout."""
    root = plan.workspace.value
    source, venv = f"{root}/source", f"{root}/venv"
    world = {setting.name: setting.value for setting in plan.environment}
    environment = Environment(  # noqa: S701 - a shell script, not HTML; the ``sh`` filter quotes
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["sh"] = shlex.quote
    environment.filters["comment"] = lambda text: " ".join(str(text).split())
    mark = "END_OF_PATCH"
    while any(line == mark for line in diff.splitlines()):
        mark += "_"
    text = environment.from_string(_TEMPLATE).render(
        plan=plan,
        source=source,
        parent=root,
        directory=plan.source.directory,
        url=plan.source.url,
        commit=plan.source.commit or plan.source.ref,
        diff=diff,
        mark=mark,
        sets=", ".join(patch.name for patch in plan.patches),
        python=plan.argv[0],
        base_python=plan.python.value,
        venv=venv,
        home=world["HOME"],
        temporary=world["TMPDIR"],
        argv=shlex.join(plan.argv),
    )
    return redact(text)
