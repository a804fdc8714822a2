"""A word now and then about a transfer that takes long, from the size of the files it is writing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trtllm_builder.source.model import Log
from trtllm_builder.units import format_size

EVERY = 10.0


@contextmanager
def watched(directory: Path, pattern: str, what: str, log: Log, *, every: float = EVERY) -> Iterator[None]:
    """While the block runs, logs every ``every`` seconds how much lies in ``directory``'s files of ``pattern``."""
    over = threading.Event()

    def look() -> None:
        last = 0
        while not over.wait(every):
            size = _size(directory, pattern)
            if size != last:
                log(f"{what}: {format_size(size)} so far")
                last = size

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _size(directory: Path, pattern: str) -> int:
    total = 0
    for path in directory.glob(pattern):
        try:
            total += path.stat().st_size
        except OSError:
            continue  # it took its final name meanwhile
    return total
