"""Removes what was chosen, so that a removal cut short at any point leaves only what the next one recognises.

A workspace is emptied under its lock, tag and journal last; everything else is renamed first, so that no build takes
the rest of it for whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trtllm_builder.build.gc.find import LEFT, Item
from trtllm_builder.build.gc.measure import mounts_below
from trtllm_builder.build.registry import forget
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError
from trtllm_builder.process import run

_DEADLINE = 3600.0
# Taken away last: by them the rest of a workspace is known as ours.
_LAST = ("journal.jsonl", "lock", "CACHEDIR.TAG")


def remove(item: Item, environ: Mapping[str, str]) -> None:
    """Raises HostError, with the reason, when it is in use after all or cannot be removed."""
    try:
        if mounts_below(item.path):
            raise HostError(f"something is mounted in {item.path}", remedy="unmount it first")
        if item.kind == "workspace":
            _empty(item.path)
        elif item.path.is_dir():
            with _held(item.lock):
                aside = item.path
                if not item.path.name.startswith(LEFT):
                    aside = item.path.with_name(f"{LEFT}{item.path.name}-{secrets.token_hex(4)}")
                    item.path.rename(aside)
                _delete([aside])
        elif item.run is None:
            item.path.unlink(missing_ok=True)
        if item.run is not None:
            forget(item.run, environ)
    except OSError as error:
        raise HostError(
            f"{error.filename or item.path} cannot be removed: {error.strerror}", remedy="remove it by hand"
        ) from error


def _empty(root: Path) -> None:
    """The workspace's lock keeps builds out; a process that a dead run left in it is ended first."""
    workspace = Workspace(root)
    with workspace.locked() as lock:
        # What is left of it, if we are killed now, must not pass for a source and a build that are whole.
        workspace.journal.append("rebuild")
        _delete([path for path in sorted(root.iterdir()) if path.name not in _LAST], lock)
        for name in _LAST:
            (root / name).unlink(missing_ok=True)
        # A directory that something is mounted at stays, empty; so does one that just got a file.
        with contextlib.suppress(OSError):
            root.rmdir()


def _delete(paths: Sequence[Path], *keep_open: int) -> None:
    """By rm(1), which follows no links and survives trees of any depth. A directory that upstream or a package manager
    made read-only is made writable. Raises HostError."""
    if not paths:
        return
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    words: list[str | Path] = ["rm", "-rf", "--one-file-system", "--", *paths]
    # chmod follows links that it is given, unlike those that it finds.
    trees = [path for path in paths if not path.is_symlink()]
    done = run(words, env=environ, timeout=_DEADLINE, pass_fds=keep_open)
    if not done.ok and "denied" in done.stderr:
        run([*("chmod", "-R", "u+rwX", "--"), *trees], env=environ, timeout=_DEADLINE, pass_fds=keep_open)
        done = run(words, env=environ, timeout=_DEADLINE, pass_fds=keep_open)
    if not done.ok:
        raise HostError(done.last_line, remedy="what is left can be removed by another gc, or by hand")


@contextlib.contextmanager
def _held(path: Path | None) -> Iterator[None]:
    """Hold the lock that a user of the thing would hold. Raises HostError when one does."""
    if path is None:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostError(f"{path.name} is held by another process", remedy="try again when it is done") from None
        yield
    finally:
        os.close(descriptor)
