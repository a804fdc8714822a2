"""Directories that are either complete or not there: filled aside, given a receipt, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.errors import HostError

RECEIPT = "receipt.json"
Log = Callable[[str], None]
# Fills a tree (first path; the second is scratch room on the same disk); returns facts and the files that matter.
Make = Callable[[Path, Path], tuple[Mapping[str, str], tuple[str, ...]]]


@dataclass(frozen=True)
class Entry:
    """A directory that can be trusted. ``facts`` is what its maker recorded."""

    path: Path
    facts: Mapping[str, str]


def read_entry(directory: Path) -> Entry | None:
    """None when it is not there, or when a file that its receipt names is missing or of another size."""
    try:
        receipt = json.loads((directory / RECEIPT).read_text())
        intact = all((directory / name).stat().st_size == size for name, size in receipt["files"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return Entry(directory, receipt["facts"]) if intact else None


def fill(
    directory: Path,
    make: Make,
    log: Log,
    *,
    needs: int = 0,
) -> Entry:
    """The entry at ``directory``; made by ``make(tree, scratch)`` when there is none. ``needs`` is the room in bytes.

    Safe against other processes and against being killed at any point: a killed run leaves only a staging directory,
    which the next one removes. Raises HostError when the disk does not let us.
    """
    found = read_entry(directory)
    if found:
        return found
    parent = directory.parent
    with _sentences(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / f".lock-{directory.name}", log):
            # Whoever held the lock before us may have made it.
            return read_entry(directory) or _make(directory, make, needs)


def _make(
    directory: Path,
    make: Make,
    needs: int,
) -> Entry:
    parent, prefix = directory.parent, f".staging-{directory.name}-"
    for stale in (*parent.glob(f"{prefix}*"), directory):
        shutil.rmtree(stale, ignore_errors=True)
    free = shutil.disk_usage(parent).free
    if free < needs:
        raise HostError(
            f"{directory.name} needs {needs / 1e9:.1f} GB in {parent} and {free / 1e9:.1f} GB are free",
            remedy="free some room, or set XDG_DATA_HOME to a directory on a larger disk",
        )
    staging = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        tree, scratch = staging / "tree", staging / "tmp"
        tree.mkdir()
        scratch.mkdir()
        facts, files = make(tree, scratch)
        sizes = {name: (tree / name).stat().st_size for name in files}
        (tree / RECEIPT).write_text(json.dumps({"schema": 1, "facts": dict(facts), "files": sizes}, indent=1) + "\n")
        with contextlib.suppress(FileExistsError):
            _rename(tree, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    entry = read_entry(directory)
    if entry is None:
        raise HostError(f"{directory} was made and is not complete", remedy="remove it and try again")
    return entry


def _rename(tree: Path, directory: Path) -> None:
    """FileExistsError when another process, on a disk without locks, was first."""
    try:
        tree.rename(directory)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(directory) from error
        raise


@contextlib.contextmanager
def _locked(path: Path, log: Log) -> Iterator[None]:
    """An exclusive flock(2); without one where the file system has none (the rename alone keeps entries whole)."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"another run is preparing {path.name.removeprefix('.lock-')}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        yield


@contextlib.contextmanager
def _sentences(parent: Path) -> Iterator[None]:
    remedy = "set XDG_DATA_HOME to a directory on a disk with room that you may write to"
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError(f"the disk of {parent} is full", remedy=f"free some room, or {remedy}") from error
        where = error.filename if error.filename is not None else parent
        raise HostError(f"cannot write to {os.fsdecode(where)}: {error.strerror}", remedy=remedy) from error
