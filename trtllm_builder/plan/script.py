"""The plan as a shell script for people who want to run the steps by hand: up to upstream's own wheel, no further."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from trtllm_builder import canary
from trtllm_builder.patching.diffs import make_diff
from trtllm_builder.patching.results import PatchPlan
from trtllm_builder.patching.version_label import labelled_changes
from trtllm_builder.plan import cmake_file
from trtllm_builder.plan.model import Plan
from trtllm_builder.profile.names import canary_size
from trtllm_builder.repro.seeds import SEEDS
from trtllm_builder.text import clean, redact
from trtllm_builder.upstream.fetch_content import read_declarations

# Only quoted words go in, and the diff between quoted marks: no line of a unified diff begins with an E.
_TEMPLATE = """\
#!/bin/sh
# Made by trtllm-builder {{ plan.builder }} for profile {{ plan.profile | comment }}.
# It ends at upstream's wheel: nothing here normalises, verifies or records it. Run 'trtllm-build verify' on the result.
# Tools and toolkit stay where they are; what is not there ends it with exit status 3 before it writes anything.
{% if redacted %}
# Credentials were left out: put your own where it says ***.
{% endif %}
set -eu
umask 022
lacking=0
lack() {
  printf '%s\\n' "missing: $1" >&2
  lacking=1
}
{% for name, program in needed %}
{% if program %}
command -v {{ program | sh }} >/dev/null || lack {{ (name ~ ' (' ~ program ~ ')') | sh }}
{% else %}
lack {{ (name ~ ', which was not installed when this script was made') | sh }}
{% endif %}
{% endfor %}
if test "$lacking" != 0; then
  echo {{ remedy | sh }} >&2
  exit 3
fi
{% if obtain %}
if test -e {{ source | sh }}; then
  echo {{ (source ~ ' is there already; move it away first') | sh }} >&2
  exit 1
fi
{% for words in obtain %}
{{ words | map('sh') | join(' ') }}
{% endfor %}
{% endif %}
{% for words in serve %}
{{ words | map('sh') | join(' ') }}
{% endfor %}
cd {{ source | sh }}
{% if diff %}
# The patch sets {{ sets | comment }} and the version label.
# git apply takes no fuzz; outside of a repository it skips no file.
GIT_CEILING_DIRECTORIES={{ root | sh }} GIT_DIR=/dev/null git apply -p1 <<'END_OF_PATCH'
{{ diff }}END_OF_PATCH
{% endif %}
{% for directory in plan.directories %}
mkdir -p {{ directory.value | sh }}
{% endfor %}
test -x {{ argv[0] | sh }} || {{ plan.python.value | sh }} -m venv {{ venv | sh }}
cat >{{ include | sh }} <<'END_OF_FILE'
{{ include_text }}END_OF_FILE
mkdir -p {{ home | sh }}/deep_gemm_cache {{ temporary | sh }} {{ bin | sh }}
{% for name, program in links %}
ln -sf {{ program | sh }} {{ bin | sh }}/{{ name | sh }}
{% endfor %}
exec env -i \\
{% for setting in settings %}
  {{ setting | sh }} \\
{% endfor %}
  {{ argv | map('sh') | join(' ') }}
"""


_REMEDY = (
    "install what is missing ('trtllm-build plan --profile {profile}' says how), or run 'trtllm-build --profile "
    "{profile}' once, which installs the tools; then make this script again"
)
_IMPORTS = "import pathlib, sys; from trtllm_builder import canary; place = pathlib.Path(sys.argv[1]); "
_CANARY = f"{_IMPORTS}canary.materialise(place, int(sys.argv[2]))"
# What the canary downloads is on no server.
_SERVE = (
    f"{_IMPORTS}canary.serve(place / 'canary'); (place / 'gitconfig').write_text(canary.git_config(place / 'canary'))"
)


def render_script(plan: Plan, patches: PatchPlan, checkout: Path | None) -> str:
    """The script for the plan of ``checkout``, with what ``patches`` would change there and the version label.

    None stands for our own canary, which the script has this very Python write. Bytes of the checkout that are no UTF-8
    stand as surrogates (surrogateescape). Raises as ``labelled_changes`` does.
    """
    root = plan.workspace.value
    world = {setting.name: setting.value for setting in plan.environment}
    environment = Environment(  # noqa: S701 - a shell script, not HTML; the ``sh`` filter quotes
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["sh"] = shlex.quote
    environment.filters["comment"] = _one_line
    _, changes = labelled_changes(checkout or canary.TREE, plan.label, patches.changes)
    diff = make_diff(changes)
    words = [f"{name}={value}" for name, value in world.items()]
    # Not the whole text: in the diff a redacted line of context would fit nowhere.
    settings, argv = [redact(word) for word in words], [redact(word) for word in _argv(plan)]
    return environment.from_string(_TEMPLATE).render(
        plan=plan,
        redacted=(settings, argv) != (words, _argv(plan)),
        root=root,
        source=f"{root}/source",
        obtain=_obtain(plan.source.url, f"{root}/source", checkout),
        serve=_serve(root, checkout),
        needed=_needed(plan, world),
        remedy=_REMEDY.format(profile=_one_line(plan.profile)),
        bin=f"{root}/bin",
        links=[(tool.name, tool.path) for tool in plan.tools if tool.path],
        diff=diff,
        sets=", ".join(patch.name for patch in plan.patches),
        venv=f"{root}/venv",
        home=world["HOME"],
        temporary=world["TMPDIR"],
        settings=settings,
        argv=argv,
        include=f"{root}/{cmake_file.CMAKE_FILE}",
        include_text=cmake_file.render([SEEDS]),
    )


def _argv(plan: Plan) -> list[str]:
    """Nobody stands at the gate of a script: as many jobs as are safe without."""
    words: list[str] = []
    for argument in plan.command:
        flag, *values = argument.words
        words += [flag, str(plan.gate.slots)] if "job_count" in flag else [flag, *values]
    return words


def _one_line(text: object) -> str:
    return " ".join(redact(clean(str(text))).split())


def _obtain(url: str, source: str, checkout: Path | None) -> list[list[str]]:
    """Commands that put the source where it is built; none when it is there."""
    if checkout is None:
        return [
            ["mkdir", "-p", str(Path(source).parent)],
            [sys.executable, "-c", _CANARY, source, str(canary_size(url) or 0)],
        ]
    if str(checkout) == source:
        return []
    return [["mkdir", "-p", source], ["cp", "-a", f"{checkout}/.", f"{source}/"]]


def _serve(root: str, checkout: Path | None) -> list[list[str]]:
    declared = () if checkout is None else read_declarations(checkout).found
    if checkout is None or any(one.url.startswith(canary.BASE) for one in declared):
        return [[sys.executable, "-c", _SERVE, root]]
    return []


def _needed(plan: Plan, world: dict[str, str]) -> list[tuple[str, str | None]]:
    """Programs that the script cannot do without, by name; None for one that is nowhere yet."""
    needed: list[tuple[str, str | None]] = [(name, name) for name in ("git", "make", "g++")]
    needed += [("python", plan.python.value), ("the CUDA toolkit", world.get("CUDACXX"))]
    needed += [(tool.name, tool.path) for tool in plan.tools]
    if plan.tensorrt.value in ("absent", "archive"):
        needed.append(("TensorRT", None))
    return needed
