"""Writes all files of a plan, or none: each is staged first, then renamed into place, and put back if one fails.

A kill between two renames leaves each file old or new; operations know what is done, so applying again completes it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from trtllm_builder.errors import PatchError, Where
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.tree import Tree

# In the tree, so that a rename never crosses a file system; removed at the end, or by the next apply after a kill.
STAGING = ".trtllm-builder-patch"


def write_all(tree: Path, changes: Sequence[Change], rename: Callable[[Path, Path], None] = os.replace) -> None:
    """Carry out ``changes``. Raises PatchError, with every file as it was, when one cannot be written."""
    root = tree.resolve()
    staging = root / STAGING
    made: list[Path] = []
    written: list[tuple[int, Change]] = []
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
            made += _make_parents(where)
            written.append((number, change))
            rename(staging / f"{number}.new", where)
    except BaseException as error:
        _put_back(root, staging, written, made)
        if isinstance(error, OSError):
            what = f"the patch could not be written: {error.strerror or error}; every file is as it was"
            raise PatchError(what, where=Where(str(where)), remedy="mend that and apply again") from None
        raise
    finally:
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


def _make_parents(path: Path) -> list[Path]:
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir()
    return missing


def _put_back(root: Path, staging: Path, written: Sequence[tuple[int, Change]], made: Sequence[Path]) -> None:
    for number, change in reversed(written):
        path = root / change.path
        if (staging / f"{number}.new").exists():
            continue
        if change.before is None:
            path.unlink(missing_ok=True)
        else:
            (staging / f"{number}.old").replace(path)
    for directory in sorted(made, key=lambda one: len(one.parts), reverse=True):
        directory.rmdir()
