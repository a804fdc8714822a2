"""One attempt at a time in a directory: a lock that the attempt's commands inherit.

So a command that outlives its attempt (a node's process that was killed alone) still holds the directory, and whoever
comes next knows it by that, and ends it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trtllm_builder.build.lock import holders, open_and_take
from trtllm_builder.process import Stat, is_alive, read_stat

# An orphaned build ends its compilers first.
_GRACE = 20.0
_LOOK = 0.05


@contextmanager
def held(directory: Path, workspace: Path, busy: Callable[[int | None], None]) -> Iterator[int]:
    """Hold ``directory``, and yield the lock's descriptor, which every command of the attempt is to inherit.

    Commands of an attempt that died are ended. While others work there, or in the ``workspace`` (which a build of a
    user's may do), ``busy`` is called again and again, with the number of their process when it is of this machine: it
    waits, or raises. Nothing but the lock is written before. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ended = False
    while True:
        descriptor, taken = open_and_take(directory / "attempt.lock")
        try:
            found = {} if taken else holders(descriptor)
            if taken:
                worker = _at_work(workspace)
                if worker is None:
                    yield descriptor
                    return
        finally:
            os.close(descriptor)
        if taken:
            busy(worker)
        elif found and all(found.values()) and not ended:
            ended = True
            _end(found)
        else:
            busy(next((pid for pid, inherited in found.items() if not inherited), None))


def _at_work(workspace: Path) -> int | None:
    """The process that took the workspace for itself. One that only inherited it is what a dead build left, which the
    next build ends."""
    try:
        descriptor = os.open(workspace / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return next((pid for pid, inherited in holders(descriptor).items() if not inherited), None)
    finally:
        os.close(descriptor)


def _end(orphans: Iterable[int]) -> None:
    """SIGTERM, and SIGKILL to what is left in the end. They hold our lock, so they are ours."""
    started = {pid: stat for pid in orphans if (stat := read_stat(pid))}
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 5.0)):
        end = time.monotonic() + patience
        left = _left(started)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while left and time.monotonic() < end:
            time.sleep(_LOOK)
            left = _left(started)


def _left(started: dict[int, Stat]) -> list[int]:
    return [pid for pid, stat in started.items() if is_alive(pid, stat.start)]
