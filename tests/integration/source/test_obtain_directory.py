"""``--source DIR``: used as it stands, never written to, and kept in step without touching what is equal."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.source.digest import tree_digest
from trtllm_builder.source.directory import obtain_directory
from trtllm_builder.source.model import Checkout, SourceWant

World = Any  # conftest.py

pytestmark = pytest.mark.integration


@pytest.fixture
def copy(tmp_path: Path, environ: dict[str, str]) -> Callable[..., Checkout]:
    def run(source: Path, name: str = "copy", **more: Any) -> Checkout:
        return obtain_directory(source, tmp_path / "work" / name, environ=environ, **more)

    return run


def state(root: Path) -> dict[str, tuple[int, int, int, int]]:
    """Everything that a write would change, .git included."""
    found = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (status.st_mtime_ns, status.st_ctime_ns, status.st_mode, status.st_nlink)
    return found


def test_uncommitted_changes_come_along_and_the_source_is_not_written(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1", "b/c.sh": "2"})
    (upstream.path / "b/c.sh").chmod(0o755)
    (upstream.path / "a").write_text("changed")
    (upstream.path / "new").write_text("untracked")
    before = state(upstream.path)
    got = copy(upstream.path, ref="main")
    assert state(upstream.path) == before
    assert (got.commit, got.served_by, got.pinned, got.dirty) == (head, "directory", False, False)
    assert (got.path / "a").read_text() == "changed" and (got.path / "new").read_text() == "untracked"
    assert os.access(got.path / "b/c.sh", os.X_OK)
    assert got.digest == tree_digest(upstream.path) == tree_digest(got.path)
    assert got.notes == ()


def test_a_read_only_source_gives_a_copy_that_can_be_patched(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"d/a": "1"})
    for path in sorted(upstream.path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    got = copy(upstream.path)
    (got.path / "d/a").write_text("patched")
    (got.path / "d/b").write_text("new")
    assert (got.path / "d/a").stat().st_mode & 0o600 == 0o600


def test_hooks_and_programs_of_the_source_never_run_nor_come_along(
    repository: Callable, copy: Callable, tmp_path: Path
) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1", ".gitattributes": "* filter=evil\n"})
    ran = tmp_path / "ran"
    upstream.git("config", "core.fsmonitor", f"touch {ran}; false")
    upstream.git("config", "filter.evil.clean", f"touch {ran}; cat")
    upstream.git("config", "filter.evil.smudge", f"touch {ran}; cat")
    upstream.git("config", "core.sshCommand", f"touch {ran}")
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        script = upstream.path / ".git/hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {ran}\n")
        script.chmod(0o755)
    got = copy(upstream.path)
    assert "evil" not in (got.path / ".git/config").read_text()
    assert not (got.path / ".git/hooks").exists() and not ran.exists()


def test_the_copys_own_repository_knows_the_history_by_borrowing(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1"}, "first")
    head = upstream.commit({"a": "2"}, "second")
    got = copy(upstream.path)
    log = subprocess.run(
        ["git", "log", "--format=%H %s"], cwd=got.path, capture_output=True, text=True, check=True
    ).stdout
    assert log.splitlines()[0] == f"{head} second" and len(log.splitlines()) == 2
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=got.path, capture_output=True, text=True, check=True)
    assert changed.stdout == ""


def test_submodules_of_the_source_stay_repositories(world: World, repository: Callable, copy: Callable) -> None:
    leaf, top = repository("leaf"), repository("top")
    commit = leaf.commit({"x": "1"})
    top.add_submodule("3rdparty/leaf", leaf.url, commit)
    clone = top.path.parent / "clone"
    subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "clone", "-q", "--recurse-submodules", top.url, str(clone)],
        check=True,
    )
    assert (clone / "3rdparty/leaf/.git").is_file()
    got = copy(clone)
    assert got.submodules == (("3rdparty/leaf", commit),)
    assert (got.path / "3rdparty/leaf/.git").is_dir() and (got.path / "3rdparty/leaf/x").read_text() == "1"


def test_only_what_changed_is_copied_and_what_vanished_goes(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"same": "1", "edited": "1", "gone/file": "1", "kind": "1"})
    got = copy(upstream.path)
    (got.path / "cpp/build").mkdir(parents=True)
    (got.path / "cpp/build/out.o").write_text("built")
    (got.path / "gone/by-build").write_text("built")
    old = {name: (got.path / name).stat().st_mtime_ns for name in ("same", "edited")}
    source_time = (upstream.path / "edited").stat().st_mtime_ns
    (upstream.path / "edited").write_text("2")
    os.utime(upstream.path / "edited", ns=(source_time - 10**12,) * 2)
    shutil.rmtree(upstream.path / "gone")
    (upstream.path / "kind").unlink()
    (upstream.path / "kind").mkdir()
    (upstream.path / "kind/inner").write_text("3")
    again = copy(upstream.path)
    assert again.digest == tree_digest(upstream.path) != got.digest
    assert (again.path / "same").stat().st_mtime_ns == old["same"]
    # An older file put in the place of another must still look new to ninja.
    assert (again.path / "edited").stat().st_mtime_ns > old["edited"]
    assert (again.path / "kind/inner").read_text() == "3" and not (again.path / "gone/file").exists()
    assert (again.path / "cpp/build/out.o").read_text() == "built" and (again.path / "gone/by-build").exists()


def test_changes_in_the_copy_stay_until_the_source_changes_or_a_reset(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1", "b": "1"})
    got = copy(upstream.path)
    (got.path / "a").write_text("patched")
    kept = copy(upstream.path)
    assert kept.modified == ("a",) and kept.digest == got.digest and (got.path / "a").read_text() == "patched"
    assert not copy(upstream.path, existing="reset").dirty and (got.path / "a").read_text() == "1"
    (got.path / "a").write_text("patched")
    (upstream.path / "b").write_text("2")
    moved = copy(upstream.path)
    assert not moved.dirty and (got.path / "a").read_text() == "1" and (got.path / "b").read_text() == "2"


def test_a_new_commit_without_a_change_of_files_moves_the_copys_head(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"a": "1"})
    copy(upstream.path)
    head = upstream.commit({}, "empty")
    got = copy(upstream.path)
    assert got.commit == head and (got.path / ".git/HEAD").read_text().strip() == head


def test_a_mismatch_is_a_note(repository: Callable, copy: Callable, tmp_path: Path) -> None:
    upstream = repository("up")
    first = upstream.commit({"a": "1"})
    upstream.git("tag", "v1")
    upstream.commit({"a": "2"})
    assert any("is not v1 there" in note for note in copy(upstream.path, ref="v1").notes)
    assert any("not at the profile's commit" in note for note in copy(upstream.path, ref="main", commit=first).notes)
    assert copy(upstream.path, ref="main").notes == ()
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a").write_text("1")
    got = copy(plain, "plain", ref="main")
    assert got.commit == "" and any("only its digest" in note for note in got.notes)


def test_links_sockets_and_pointers_are_said(copy: Callable, tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "d").mkdir(parents=True)
    (source / "d/in").symlink_to("../file")
    (source / "d/out").symlink_to("../../etc/passwd")
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "file").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(source)  # a socket's path is short
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)
        got = copy(source)
    notes = " | ".join(got.notes)
    assert "lead out" in notes and "absolute" in notes and "d/out" in notes and "d/in" not in notes
    assert "sock" in notes and "LFS pointers (file)" in notes
    assert (got.path / "d/out").is_symlink() and not (got.path / "sock").exists()


def test_links_planted_in_the_copy_are_not_followed(copy: Callable, tmp_path: Path) -> None:
    source, outside = tmp_path / "s", tmp_path / "outside"
    (source / "d").mkdir(parents=True)
    outside.mkdir()
    (source / "d/a").write_text("1")
    (source / "b").write_text("1")
    got = copy(source)
    shutil.rmtree(got.path / "d")
    (got.path / "d").symlink_to(outside)
    (got.path / "b").unlink()
    (outside / "target").write_text("precious")
    (got.path / "b").symlink_to(outside / "target")
    (source / "d/a").write_text("2")
    copy(source)
    assert [path.name for path in outside.iterdir()] == ["target"] and (outside / "target").read_text() == "precious"
    assert (got.path / "d/a").read_text() == "2" and (got.path / "b").read_text() == "1"


def test_places_that_cannot_be_meant_are_refused(copy: Callable, tmp_path: Path, environ: dict[str, str]) -> None:
    source = tmp_path / "s"
    source.mkdir()
    with pytest.raises(SourceError, match="is not a directory"):
        copy(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="one in the other"):
        obtain_directory(source, source / "work" / "src", environ=environ)
    with pytest.raises(SourceError, match="one in the other"):
        obtain_directory(source, tmp_path, environ=environ)
    (tmp_path / "work/copy").mkdir(parents=True)
    (tmp_path / "work/copy/precious").write_text("x")
    with pytest.raises(SourceError, match="was not made by this tool"):
        copy(source)


def test_an_unfinished_copy_is_finished(copy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name in "abcd":
        (source / name).write_text("1")
    got = copy(source)
    (source / "a").unlink()
    (source / "b").write_text("2")
    (source / "c").write_text("2")
    import trtllm_builder.source.sync as module

    real, calls = module.copy_file, []

    def killed(*arguments: Any, **more: Any) -> str:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(module, "copy_file", killed)
    with pytest.raises(KeyboardInterrupt):
        copy(source)
    monkeypatch.setattr(module, "copy_file", real)
    (source / "d").unlink()
    again = copy(source)
    assert tree_digest(got.path) == tree_digest(source) == again.digest


def test_a_checkout_and_a_copy_may_take_each_others_place(
    world: World, repository: Callable, environ: dict[str, str]
) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1"})
    world.obtain(SourceWant(upstream.url, "main", head))
    got = obtain_directory(upstream.path, world.work / "src", environ=environ)
    assert got.served_by == "directory"
    assert world.obtain(SourceWant(upstream.url, "main", head)).served_by == "cache"


def test_excluded_paths_stay_behind(repository: Callable, copy: Callable) -> None:
    upstream = repository("up")
    upstream.commit({"cpp/build/big.o": "x", "cpp/a": "1"})
    got = copy(upstream.path, exclude=("cpp/build",))
    assert (got.path / "cpp/a").exists() and not (got.path / "cpp/build").exists()
