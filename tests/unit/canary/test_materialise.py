from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import trtllm_builder.canary as canary
from trtllm_builder.errors import SourceError


def git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True, text=True).stdout


def test_the_commit_depends_on_the_tree_alone(tmp_path, private_home, monkeypatch):
    first = canary.materialise(tmp_path / "first")
    (private_home / ".gitconfig").write_text(
        "[user]\nname = Someone\n[core]\nautocrlf = true\nfileMode = false\nexcludesFile = ~/ignore\n"
        "[init]\ndefaultBranch = trunk\n[commit]\ngpgSign = true\n"
    )
    (private_home / "ignore").write_text("*.cu\n")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-01-01T00:00:00")
    before = os.umask(0o077)
    try:
        second = canary.materialise(tmp_path / "deeper/second")
    finally:
        os.umask(before)
    assert re.fullmatch("[0-9a-f]{40}", first)
    assert second == first


def test_the_repository_is_whole_and_clean(tmp_path):
    repository = tmp_path / "canary"
    commit = canary.materialise(repository)
    assert git(repository, "rev-parse", "canary").strip() == commit
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "rev-list", "--count", "--all").strip() == "1"
    names = set(git(repository, "ls-files").splitlines())
    assert {".gitignore", ".gitmodules", "setup.py", "cpp/tensorrt_llm/kernels/gemm.cu"} <= names
    modes = dict(reversed(line.split("\t")) for line in git(repository, "ls-files", "--stage").splitlines())
    assert modes["scripts/build_wheel.py"].startswith("100755")
    assert modes["setup.py"].startswith("100644")


def test_a_second_time_leaves_it_as_it_is(tmp_path):
    repository = tmp_path / "canary"
    commit = canary.materialise(repository)
    (repository / "mine.txt").write_text("kept")
    assert canary.materialise(repository) == commit
    assert (repository / "mine.txt").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / "canary").mkdir()
    commit = canary.materialise(tmp_path / "canary")
    assert git(tmp_path / "canary", "rev-parse", "HEAD").strip() == commit


@pytest.mark.parametrize("content", ["a file inside", "another repository", "a file in its place"])
def test_anything_else_is_left_alone(tmp_path, content):
    destination = tmp_path / "canary"
    if content == "a file in its place":
        destination.write_text("mine")
    else:
        destination.mkdir()
        (destination / "mine").write_text("mine")
    if content == "another repository":
        git(destination, "init", "--quiet")
    with pytest.raises(SourceError, match="is not the canary of this version"):
        canary.materialise(destination)
    mine = destination if destination.is_file() else destination / "mine"
    assert mine.read_text() == "mine"


def test_without_git_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="git is needed"):
        canary.materialise(tmp_path / "canary")


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="could not be written"):
        canary.materialise(tmp_path / "file/canary")


@pytest.fixture
def small_tree(tmp_path, monkeypatch) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "setup.py").write_text("a")
    monkeypatch.setattr(canary, "TREE", tree)
    return tree


def test_compiled_files_of_an_installer_are_left_out(tmp_path, small_tree):
    before = canary.digest()
    (small_tree / "__pycache__").mkdir()
    (small_tree / "__pycache__/setup.cpython-311.pyc").write_bytes(b"")
    canary.materialise(tmp_path / "canary")
    assert git(tmp_path / "canary", "ls-files").split() == ["setup.py"]
    assert canary.digest() == before


def test_the_digest_and_the_commit_follow_the_tree(tmp_path, small_tree):
    before = (canary.digest(), canary.materialise(tmp_path / "one"))
    (small_tree / "setup.py").write_text("b")
    after = (canary.digest(), canary.materialise(tmp_path / "two"))
    assert not set(before) & set(after)


def test_the_tree_holds_nothing_that_git_or_a_packer_would_read():
    names = [path.name for path in canary.TREE.rglob("*") if "__pycache__" not in path.parts]
    assert names and not [name for name in names if name.startswith(".")]
