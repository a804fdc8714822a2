"""Writes all files of a plan, or none: each is staged first, then renamed into place, and put back if one fails.

A kill between two renames leaves each file old or new; operations know what is done, so applying again completes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from trtllm_builder.errors import HostError, PatchError, Where
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.tree import STAGING, Tree


def write_all(tree: Path, changes: Sequence[Change], rename: Callable[[Path, Path], None] = os.replace) -> None:
    """Carry out ``changes``. Raises HostError, with every file as it was, when one cannot be written or another run
    writes to the tree, and PatchError when a file changed meanwhile or could not be put back."""
    root = tree.resolve()
    with _alone(root):
        _write(root, changes, rename)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the tree's lock, which the kernel lets go when this process ends in any way."""
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"the tree cannot be opened: {error.strerror}", where=Where(str(root))) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        what = "another run applies patches to this tree; nothing was written"
        raise HostError(what, where=Where(str(root)), remedy="apply again when it has ended") from None
    finally:
        os.close(descriptor)


def _write(root: Path, changes: Sequence[Change], rename: Callable[[Path, Path], None]) -> None:
    staging = root / STAGING
    made: list[Path] = []
    written: list[tuple[int, Change]] = []
    lost: list[int] = []
    where = root
    try:
        _clear(staging)
        staging.mkdir()
        for number, change in enumerate(changes):
            where = root / change.path
            _check_unchanged(root, change)
            _stage(staging / f"{number}.new", change.after, change.mode)
            if change.before is not None:
                _stage(staging / f"{number}.old", change.before, change.mode)
        for number, change in enumerate(changes):
            where = root / change.path
            _make_parents(where, made)
            written.append((number, change))
            rename(staging / f"{number}.new", where)
    except BaseException as error:
        lost = _put_back(root, staging, written, made)
        words = (error.strerror or str(error)) if isinstance(error, OSError) else str(error) or type(error).__name__
        if lost:
            files = ", ".join(f"{changes[number].path} ({number}.old)" for number in lost)
            raise PatchError(
                f"the patch could not be written: {words}; and these could not be put back: {files}",
                where=Where(str(where)),
                remedy=f"their originals lie in {staging}: copy them back, or mend that and apply again",
            ) from None
        if isinstance(error, OSError):
            what = f"the patch could not be written: {words}; every file is as it was"
            remedy = "make the tree writable, with space left on its disk, and apply again"
            raise HostError(what, where=Where(str(where)), remedy=remedy) from None
        raise
    finally:
        if not lost:
            shutil.rmtree(staging, ignore_errors=True)


def _clear(staging: Path) -> None:
    if staging.is_symlink():
        staging.unlink()
    elif staging.exists():
        shutil.rmtree(staging)


def _check_unchanged(root: Path, change: Change) -> None:
    file = Tree(root).original(change.path)
    if file.data != change.before or file.path != change.path:
        raise PatchError(
            "the file changed after it was checked; nothing was written",
            where=Where(str(root / change.path)),
            remedy="apply again while nothing else writes to the tree",
        )


def _stage(path: Path, data: bytes, mode: int) -> None:
    with path.open("xb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())


def _make_parents(path: Path, made: list[Path]) -> None:
    for parent in reversed([parent for parent in path.parents if not parent.exists()]):
        parent.mkdir()
        made.append(parent)


def _put_back(root: Path, staging: Path, written: Sequence[tuple[int, Change]], made: Sequence[Path]) -> list[int]:
    """Undo what was written, all that can be; the numbers of the changes that could not be undone."""
    lost = []
    for number, change in reversed(written):
        path = root / change.path
        if (staging / f"{number}.new").exists():
            continue
        try:
            if change.before is None:
                path.unlink(missing_ok=True)
            else:
                (staging / f"{number}.old").replace(path)
        except OSError:
            lost.append(number)
    for directory in reversed(made):
        with suppress(OSError):
            directory.rmdir()
    return lost
