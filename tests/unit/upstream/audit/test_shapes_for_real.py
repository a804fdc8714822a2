"""Small packages in shapes that were once answered wrongly: what the audit says, beside what Python does with them.

``### name`` begins a package, ``## file`` one of its files, ``__init__.py`` unless said otherwise. ``m.py`` imports
mpi4py and ``free.py`` does not. A name that begins with ``LLM:`` or ``serve:`` is about that entry.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from trtllm_builder.process import run
from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.model import ENTRIES, Entry
from trtllm_builder.upstream.audit.package import Package
from trtllm_builder.upstream.tree import Tree

HERE = Path(__file__).parent
ALWAYS = {
    "m.py": "from mpi4py import MPI\ncomm = MPI.COMM_WORLD\nVALUE = 5\n",
    "free.py": "X = 1\n",
    "BuildInfo.py": "ENABLE_MULTI_DEVICE = 0\n",
}
# Its import leaves a mark, whoever asks for it.
STAND_IN = """\
import os
open(os.environ["MARK"], "w").close()
class Any:
    def __getattr__(self, name): return Any()
    def __call__(self, *a, **k): return Any()
MPI = Any()
"""
# A process each, since an import is for ever; a fork is cheaper than an interpreter.
RUNNER = """\
import os, sys
for name in sorted(os.listdir(sys.argv[1])):
    root = os.path.join(sys.argv[1], name)
    child = os.fork()
    if not child:
        os.environ["MARK"] = os.path.join(root, "mark")
        os.environ["PYTHONPATH"] = sys.argv[2]
        sys.path[:0] = [root, sys.argv[2]]
        try:
            import tensorrt_llm
            if not os.path.exists(os.environ["MARK"]):
                os.environ["MARK"] += "." + sys.argv[3][int(name)]
            if sys.argv[3][int(name)] == "L":
                tensorrt_llm.LLM("m")
            elif sys.argv[3][int(name)] == "s":
                from importlib.metadata import EntryPoint, entry_points
                found = [one.value for one in entry_points(group="console_scripts") if one.name == "trtllm-serve"]
                value = found[0] if found else "tensorrt_llm.commands.serve:main"
                EntryPoint("trtllm-serve", value, "console_scripts").load()()
        finally:
            sys.stderr.flush()
    if not child:
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print("failed:", name)
"""


def packages(file: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in (HERE / file).read_text().splitlines(keepends=True):
        if line.startswith("### "):
            files = found.setdefault(line[4:].strip(), dict(ALWAYS))
            at = "__init__.py"
        elif line.startswith("## "):
            at = line[3:].strip()
            files.setdefault(at, "")
        else:
            files[at] = files.get(at, "") + line
    return found


TOUCH, DO_NOT = packages("shapes_that_touch.txt"), packages("shapes_that_do_not.txt")


def entry_of(name: str) -> Entry:
    return next((entry for entry in ENTRIES if name.startswith(f"{entry}: ")), "import")


def write(files: dict[str, str], root: Path) -> Path:
    for file, text in {"__init__.py": "", **files}.items():
        path = root / os.path.normpath(f"tensorrt_llm/{file}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def verdicts(files: dict[str, str], root: Path, entry: Entry) -> list[str]:
    """What is said of this entry, and before it of those on the way to it."""
    found = audit(Package.of_tree(Tree(write(files, root))))
    return [found.entry(one).verdict for one in ENTRIES[: ENTRIES.index(entry) + 1]]


@pytest.mark.parametrize("name", TOUCH)
def test_what_touches_is_never_free(name: str, tmp_path: Path) -> None:
    *before, last = verdicts(TOUCH[name], tmp_path, entry_of(name))
    assert last not in ("free of MPI", "absent")
    assert set(before) <= {"free of MPI", "absent"}


@pytest.mark.parametrize("name", DO_NOT)
def test_what_does_not_is_free(name: str, tmp_path: Path) -> None:
    assert verdicts(DO_NOT[name], tmp_path, entry_of(name))[-1] == "free of MPI"


def test_python_agrees(tmp_path: Path) -> None:
    numbered = list(enumerate([*TOUCH.items(), *DO_NOT.items()]))
    for number, (_name, files) in numbered:
        write(files, tmp_path / "packages" / f"{number:03}")
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text(STAND_IN)
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    letters = "".join(entry_of(name)[0] for _number, (name, _files) in numbered)
    argv = [sys.executable, "-c", RUNNER, str(tmp_path / "packages"), str(tmp_path), letters]
    ran = run(argv, env=env, timeout=60)
    assert ran.ok and not ran.stdout, ran.stdout + ran.stderr
    touched = {}
    for number, (name, _files) in numbered:
        for mark in (tmp_path / "packages" / f"{number:03}").glob("mark*"):
            touched[name] = mark.suffix[1:] or "i"
    assert touched == {name: entry_of(name)[0] for name in TOUCH}
