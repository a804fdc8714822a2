"""One writer at a time, by a lock on a file descriptor that git inherits: an orphaned git still holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trtllm_builder.errors import HostError
from trtllm_builder.source.model import Log


@contextmanager
def locked(path: Path, *, end: float, log: Log) -> Iterator[int]:
    """Holds ``path`` and yields its descriptor; waits for others until ``end`` (time.monotonic), then HostError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        waiting = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise HostError(
                        f"another process still holds {path}",
                        remedy="wait for the other build to finish fetching, then run this again",
                    ) from None
            if not waiting:
                log(f"waiting for another build that is using {path.name.removesuffix('.lock')}")
                waiting = True
            time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)
