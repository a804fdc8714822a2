"""What the gate decided and why, kept beside a run's logs: whom it let wait, start, and what they took.

``gate.jsonl`` has a JSON object a line (schema ``gate-event.json``). A run that is resumed goes on in the same file; a
line cut short by a crash or a full disk is passed over by its readers.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

DECISIONS = "gate.jsonl"


class Decisions:
    """Writes what it is told when it is asked to, or when much has come together. A full disk ends nothing."""

    _MOST = 200

    def __init__(self, logs: Path) -> None:
        self._path = logs / DECISIONS
        self._lines: list[bytes] = []

    def note(self, event: str, **facts: Any) -> None:
        document = {"t": round(time.time(), 3), "event": event, **facts}
        self._lines.append(json.dumps(document).encode() + b"\n")
        if len(self._lines) >= self._MOST:
            self.flush()

    def flush(self) -> None:
        if not self._lines:
            return
        data = b"".join(self._lines)
        self._lines.clear()
        with suppress(OSError):
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                size = os.fstat(handle).st_size
                # A line cut short must not swallow the next one.
                torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
                os.write(handle, b"\n" + data if torn else data)
            finally:
                os.close(handle)
