"""The end of what a process writes, however much that is."""

from __future__ import annotations

import os
import threading

_CHUNK = 1 << 16


class Capture:
    """A pipe read by a thread, so that its writer never waits. Only the last ``keep`` bytes stay in memory.

    Give ``writer`` to a child, then ``start()``; ``finish()`` when all its writers are thought to have ended.
    """

    def __init__(self, keep: int) -> None:
        self._reader, self.writer = os.pipe()
        self._keep = keep
        self._tail = b""
        self.total = 0  # bytes so far
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Closes our copy of ``writer``: the end of the child's is then the end of the pipe."""
        os.close(self.writer)
        self._thread.start()

    def finish(self, seconds: float = 2.0) -> None:
        """Waits for the last bytes; no longer than ``seconds``, for a writer may be stuck in the kernel."""
        self._thread.join(seconds)

    @property
    def text(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def _read(self) -> None:
        while chunk := os.read(self._reader, _CHUNK):
            self._tail = (self._tail + chunk)[-self._keep :]
            self.total += len(chunk)
        os.close(self._reader)
