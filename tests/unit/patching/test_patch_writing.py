from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError, PatchError
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.tree import STAGING
from trtllm_builder.patching.write import write_all

CHANGES = (
    Change("a.txt", b"old a\n", b"new a\n", 0o640),
    Change("d/new.txt", None, b"new\n", 0o755),
    Change("z.txt", b"old z\n", b"new z\n", 0o444),
)
OLD = {"a.txt": b"old a\n", "z.txt": b"old z\n"}
NEW = {"a.txt": b"new a\n", "d/new.txt": b"new\n", "z.txt": b"new z\n"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, data in OLD.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "a.txt").chmod(0o640)
    (tmp_path / "z.txt").chmod(0o444)
    return tmp_path


def content(tree: Path) -> dict[str, bytes]:
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_all_is_written_with_its_mode_and_nothing_is_left_over(tree: Path) -> None:
    write_all(tree, CHANGES)
    assert content(tree) == NEW
    assert [(tree / change.path).stat().st_mode & 0o7777 for change in CHANGES] == [0o640, 0o755, 0o444]
    assert sorted(path.name for path in tree.iterdir()) == ["a.txt", "d", "z.txt"]


@pytest.mark.parametrize("fail_at", range(3))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_any_file_puts_every_file_back(tree: Path, fail_at: int, error: BaseException) -> None:
    calls = 0

    def rename(source: Path, target: Path) -> None:
        nonlocal calls
        if calls == fail_at:
            raise error
        calls += 1
        source.replace(target)

    with pytest.raises((HostError, KeyboardInterrupt)) as caught:
        write_all(tree, CHANGES, rename=rename)
    if isinstance(error, OSError):
        assert caught.value.what == (  # type: ignore[union-attr]
            "the patch could not be written: No space left on device; every file is as it was"
        )
        assert str(caught.value.where) == f"{tree / CHANGES[fail_at].path}:1:1"  # type: ignore[union-attr]
    assert content(tree) == OLD
    assert sorted(path.name for path in tree.iterdir()) == ["a.txt", "z.txt"]
    assert [(tree / name).stat().st_mode & 0o7777 for name in OLD] == [0o640, 0o444]


@pytest.mark.parametrize("kill_at", range(3))
def test_a_kill_leaves_each_file_old_or_new_and_the_next_write_cleans_up(tree: Path, kill_at: int) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
sys.path[:0] = {sys.path!r}
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.write import write_all
calls = 0
def rename(source, target):
    global calls
    if calls == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    calls += 1
    source.replace(target)
write_all(Path({str(tree)!r}), {CHANGES!r}, rename=rename)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    left = {name: data for name, data in content(tree).items() if not name.startswith(STAGING)}
    assert left == {**OLD, **dict(list(NEW.items())[:kill_at])}
    # What is done is not in the next plan.
    write_all(tree, CHANGES[kill_at:])
    assert content(tree) == NEW


def test_a_file_that_changed_since_the_check_stops_everything(tree: Path) -> None:
    (tree / "z.txt").chmod(0o644)
    (tree / "z.txt").write_bytes(b"someone else's\n")
    with pytest.raises(PatchError, match="changed after it was checked"):
        write_all(tree, CHANGES)
    assert content(tree) == {**OLD, "z.txt": b"someone else's\n"}


def test_a_link_put_there_since_the_check_is_not_followed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (tree / "d").symlink_to(outside)
    with pytest.raises(PatchError, match="leads out of the tree"):
        write_all(tree, CHANGES)
    assert list(outside.iterdir()) == []
    assert content(tree) == OLD


def test_a_staging_link_left_by_someone_is_not_followed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "0.new").write_text("mine")
    (tree / STAGING).symlink_to(outside)
    write_all(tree, CHANGES)
    assert (outside / "0.new").read_text() == "mine"
    assert content(tree) == NEW


def test_what_cannot_be_put_back_is_kept_and_named(tree: Path) -> None:
    def rename(source: Path, target: Path) -> None:
        if target.name == "z.txt":
            (tree / "a.txt").unlink()
            (tree / "a.txt").mkdir()
            raise OSError(errno.EIO, "Input/output error")
        source.replace(target)

    with pytest.raises(PatchError, match=r"a\.txt \(0\.old\)") as caught:
        write_all(tree, CHANGES, rename=rename)
    assert str(tree / STAGING) in caught.value.remedy
    assert (tree / STAGING / "0.old").read_bytes() == OLD["a.txt"]
    assert not (tree / "d").exists()


def test_a_second_run_on_the_same_tree_is_refused(tree: Path) -> None:
    def rename(source: Path, target: Path) -> None:
        with pytest.raises(HostError, match="another run"):
            write_all(tree, CHANGES)
        source.replace(target)

    write_all(tree, CHANGES, rename=rename)
    assert content(tree) == NEW


def test_directories_of_which_only_some_could_be_made_are_taken_away(tree: Path) -> None:
    long = Change("d/" + "n" * 300 + "/file", None, b"new\n", 0o644)
    with pytest.raises((HostError, PatchError)):
        write_all(tree, (long,))
    assert content(tree) == OLD
    assert not (tree / "d").exists()
