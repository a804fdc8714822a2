"""The probe against real files of upstream, where they are at hand: ``UPSTREAM_TREES=DIR pytest tests/conformance -rs``

``DIR`` holds checkouts, loose files under their usual paths, git repositories (bare ones too), or directories named
like a commit with files of it below (then the giver vouches for them), or links to such. Files are known by sha256 or
by commit and path (the YAML files here); what is not there is skipped by name. Nothing of upstream's is kept here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from trtllm_builder.upstream.model import Probe
from trtllm_builder.upstream.probe import probe

HERE = Path(__file__).parent
FILES = [
    entry
    for name in ("build_scripts.yaml", "other_files.yaml")
    for entry in yaml.safe_load((HERE / name).read_text())["files"]
]
WHOLE = yaml.safe_load((HERE / "trees.yaml").read_text())["trees"]
TREES = os.environ.get("UPSTREAM_TREES")
STUB = "def main():\n    pass\n"

pytestmark = pytest.mark.skipif(not TREES, reason="UPSTREAM_TREES names no directory with files of upstream")


@cache
def by_digest() -> dict[str, Path]:
    """sha256 -> file, for every file under TREES that has one of the paths that facts are about."""
    names = {entry["path"] for entry in FILES} | {"tensorrt_llm/version.py"}
    found: dict[str, Path] = {}
    for path in files_below(Path(TREES or "/nonexistent")):
        if any(path.as_posix().endswith(f"/{wanted}") for wanted in names):
            found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    return found


def files_below(base: Path) -> Iterator[Path]:
    """Regular files. Links to directories are followed where the giver made them, in ``base`` itself, and not below."""
    links = [path for path in base.iterdir() if path.is_symlink() and path.is_dir()] if base.is_dir() else []
    for top in (base, *links):
        for directory, folders, files in os.walk(top):
            folders[:] = [folder for folder in folders if folder not in (".git", "objects")]
            yield from (path for name in files if (path := Path(directory) / name).is_file())


@cache
def repositories() -> tuple[Path, ...]:
    """Git directories at most three levels below TREES."""
    base = Path(TREES or "/nonexistent")
    candidates = [path for depth in ("", "*", "*/*", "*/*/*") for path in (base.glob(depth) if depth else [base])]
    return tuple(path for path in candidates if (path / "objects").is_dir() and (path / "HEAD").is_file())


def named_like(entry: dict[str, Any]) -> tuple[Path, ...]:
    """Directories that were given under the name of the entry's commit."""
    return tuple(Path(TREES or "/nonexistent").glob(f"{entry['commit']}*")) if "commit" in entry else ()


def content(entry: dict[str, Any]) -> bytes:
    """The file's bytes; skips the test when it is not among what was given."""
    if "sha256" in entry:
        path = by_digest().get(entry["sha256"])
        if path is not None:
            return path.read_bytes()
    for repository in repositories() if "commit" in entry else ():
        shown = subprocess.run(
            ["git", "--git-dir", str(repository), "cat-file", "blob", f"{entry['commit']}:{entry['path']}"],
            capture_output=True,
            check=False,
        )
        if shown.returncode == 0:
            return shown.stdout
    for directory in named_like(entry):
        if (directory / entry["path"]).is_file():
            return (directory / entry["path"]).read_bytes()
    known = f"sha256 {entry['sha256']}" if "sha256" in entry else f"commit {entry['commit']}"
    pytest.skip(f"not given: {entry['name']}: {entry['path']} of {known}, in {TREES}")


def check(entry: dict[str, Any], found: Probe) -> None:
    traps = {trap.id for trap in found.traps}
    assert set(entry.get("traps", ())) - traps == set()
    assert set(entry.get("no_traps", ())) & traps == set()
    if "flags" in entry:
        assert [flag.long for flag in found.flags] == entry["flags"]
        assert list(found.targets) == entry["targets"]
        assert found.extra_cmake_handling == entry["extra_cmake"]
    for *spellings, arity, default in entry.get("spelled", ()):
        flag = found.flag(spellings[0])
        assert flag is not None and (list(flag.spellings), flag.arity, flag.default) == (spellings, arity, default)
    options = {option.name: option.default for option in found.options}
    for name, default in entry.get("options", {}).items():
        assert options[name] == default
    assert set(entry.get("no_options", ())) & set(options) == set()
    for option, facts in entry.get("components", {}).items():
        component = found.component(option)
        assert component is not None
        read = {"minimum": component.minimum, "only": list(component.only), "one_file": component.one_file}
        assert read == {"minimum": None, "only": [], "one_file": False, **facts}
    if "bases" in entry:
        assert list(found.architecture_bases) == entry["bases"] and list(found.architecture_exact) == entry["exact"]
    if "cmake_minimum" in entry:
        assert found.cmake_minimum == entry["cmake_minimum"]


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: entry["name"])
def test_a_file(entry: dict[str, Any], tmp_path: Path) -> None:
    data = content(entry)
    for name, text in (("scripts/build_wheel.py", STUB.encode()), (entry["path"], data)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text)
    check(entry, probe(tmp_path))


@pytest.mark.parametrize("entry", WHOLE, ids=lambda entry: entry["name"])
def test_a_tree(entry: dict[str, Any]) -> None:
    path = by_digest().get(entry["sha256"])
    if path is None or not (path.parent.parent / "scripts/build_wheel.py").is_file():
        pytest.skip(f"not given: {entry['name']}: a tree with tensorrt_llm/version.py of sha256 {entry['sha256']}")
    began = time.process_time()
    found = probe(path.parent.parent)
    assert time.process_time() - began < 10
    assert found.version == entry["version"]
    assert len(found.lfs_pointers) == entry["lfs_pointers"] and len(found.submodules) == entry["submodules"]
    refusal = found.refusal()
    assert (refusal is not None) == entry["refused"]
    if refusal is not None:
        assert refusal.exit_code == 4 and "prebuilt MPI-linked archives" in refusal.what
        assert any(pointer in refusal.what for pointer in found.lfs_pointers)
    check(entry, found)


def test_links_are_followed_where_the_giver_made_them(tmp_path: Path) -> None:
    for name in ("given", "elsewhere/tree/sub", "outside"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("elsewhere/tree/sub/file", "outside/file"):
        (tmp_path / name).touch()
    (tmp_path / "given/tree").symlink_to(tmp_path / "elsewhere/tree")
    (tmp_path / "elsewhere/tree/out").symlink_to(tmp_path / "outside")
    (tmp_path / "elsewhere/tree/gone").symlink_to(tmp_path / "nowhere")
    assert list(files_below(tmp_path / "given")) == [tmp_path / "given/tree/sub/file"]


def test_something_was_given() -> None:
    wanted = {entry.get("sha256") for entry in (*FILES, *WHOLE)}
    given = wanted & set(by_digest()) or repositories() or any(named_like(entry) for entry in FILES)
    assert given, f"{TREES} holds no file of upstream that is known here"
