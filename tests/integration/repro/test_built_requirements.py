"""Requirements that come as source: what they are built with is in the lock, and nothing else is taken for it.

Packages are made here and had from a directory, so that no index is asked.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from trtllm_builder.build import requirements
from trtllm_builder.build.requirement import Requirement
from trtllm_builder.build.requirements import install, packages_kept, resolve
from trtllm_builder.build.run import Run
from trtllm_builder.build.toolchain import make_venv
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import ProfileError

pytestmark = pytest.mark.integration
# What it builds says which version of it built.
BACKEND = """
import pathlib, zipfile
def get_requires_for_build_wheel(settings=None): return ["toyhelp"]
def build_wheel(directory, settings=None, metadata=None):
    import toyhelp
    name = pathlib.Path("NAME").read_text()
    with zipfile.ZipFile(pathlib.Path(directory, f"{name}-1.0-py3-none-any.whl"), "w") as made:
        made.writestr(f"{name}.py", "BUILT_BY = %r" % ((VERSION, toyhelp.VERSION),))
        made.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        made.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        made.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return f"{name}-1.0-py3-none-any.whl"
"""


def make_wheel(directory: Path, name: str, version: str, code: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as made:
        made.writestr(f"{name}.py", f"VERSION = {version!r}\n{code}")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")


def make_source(directory: Path, name: str) -> Path:
    source = directory / f"{name}-1.0"
    source.mkdir()
    (source / "pyproject.toml").write_text('[build-system]\nrequires = ["toyback"]\nbuild-backend = "toyback"\n')
    (source / "NAME").write_text(name)
    (source / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    return source


@pytest.fixture
def links(tmp_path: Path) -> Path:
    links = tmp_path / "links"
    links.mkdir()
    make_wheel(links, "toyback", "1.0", BACKEND)
    make_wheel(links, "toyhelp", "1.0")
    make_wheel(links, "plain", "1.0")
    source = make_source(tmp_path, "toysdist")
    with tarfile.open(links / "toysdist-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    return links


@pytest.fixture
def make_run(tmp_path: Path, links: Path) -> Callable[[str], Any]:
    """A workspace with a venv and this list of requirements."""

    def make(name: str) -> Any:
        workspace = Workspace(tmp_path / name)
        (workspace.source / "scripts").mkdir(parents=True)
        (workspace.source / "scripts" / "build_wheel.py").write_text("")
        list_ = f"toysdist\nplain\ntoygit @ git+{(tmp_path / 'toygit-1.0').as_uri()}@main\n"
        (workspace.source / "requirements-dev.txt").write_text(list_)
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(links), "PIP_CONFIG_FILE": os.devnull, "PIP_CACHE_DIR": str(tmp_path / "cache"),
        }  # fmt: skip
        run = SimpleNamespace(
            workspace=workspace, environment=environment, lock=os.open(tmp_path, os.O_RDONLY), results={},
            plan=SimpleNamespace(python=SimpleNamespace(value=sys.executable), python_version="3"),
            note_child=lambda _: None, log=lambda kind: tmp_path / f"{name}-{kind}.log",
        )  # fmt: skip
        make_venv(cast(Run, run))
        return run

    return make


def built_by(run: Any, name: str) -> str:
    words = [run.workspace.venv / "bin/python", "-c", f"import {name}; print(*{name}.BUILT_BY)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_built_from_source_is_built_with_what_the_lock_has(
    make_run: Callable[[str], Any], links: Path, tmp_path: Path
) -> None:
    source = make_source(tmp_path, "toygit")

    def git(*words: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
        done = subprocess.run(["git", *who, "-C", source, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD")
    run = make_run("first")
    found = resolve(run)
    backends = [(one.to_input().name, one.sha256) for one in found if one.needed_by]
    sums = {
        name: hashlib.sha256((links / f"{name}-1.0-py3-none-any.whl").read_bytes()).hexdigest()
        for name in ("toyback", "toyhelp")
    }
    assert sorted(backends) == sorted(
        (f"{wanted_by}/{name}", sums[name]) for wanted_by in ("toysdist", "toygit") for name in sums
    )
    (toygit,) = (one for one in found if one.name == "toygit")
    assert (toygit.commit, toygit.sha256, toygit.url) == (commit, "", source.as_uri())
    locked = tuple(Requirement.from_input(one.to_input()) for one in found)
    assert locked == found

    # Later there are newer packages, and the branch went on: they are not taken.
    make_wheel(links, "toyback", "2.0", BACKEND)
    make_wheel(links, "toyhelp", "2.0")
    (source / "pyproject.toml").write_text("[")
    git("commit", "-q", "-a", "-m", "two")
    install(run, locked)
    assert built_by(run, "toysdist") == built_by(run, "toygit") == "1.0 1.0"

    # Nor does upstream's own pip take anything else, which has no index then.
    git("revert", "--no-edit", "HEAD")
    run.environment |= {"PIP_FIND_LINKS": packages_kept(run)}
    requirements._pip(run, "install", "-r", "requirements-dev.txt")
    assert built_by(run, "toygit") == "1.0 1.0"

    # What the lock does not have, and other bytes.
    again = make_run("again")
    plain = [one for one in locked if "toygit" not in (one.name, one.needed_by)]
    with pytest.raises(ProfileError, match="built with toyback, which the lock does not have"):
        install(again, [one for one in plain if not one.needed_by])
    make_wheel(links, "toyback", "1.0", f"{BACKEND}other = 1")
    with pytest.raises(ProfileError, match=r"requirement toyback==1\.0: .* and the lock has"):
        install(again, plain)
