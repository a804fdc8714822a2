"""What the gate decided and why, kept beside a run's logs: whom it let wait, start, and what they took.

``gate.jsonl`` has a JSON object a line (schema ``gate-event.json``). A run that is resumed goes on in the same file; a
line cut short by a crash or a full disk is passed over by its readers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trtllm_builder.gate.job import Job
from trtllm_builder.gate.policy import Admission, Budget, Running, Waiting

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

    def waits(self, job: Job, waiting: Waiting, room: int) -> None:
        self.note("waits", **_who(job), predicted=waiting.weight.bytes, why=waiting.why, room=room)

    def started(self, job: Job, waited: float) -> None:
        weight = job.weight
        self.note(
            "started", **_who(job), predicted=weight.bytes, origin=weight.origin, waited=round(waited, 3),
            attempt=job.attempts + 1,
        )  # fmt: skip

    def killed(self, job: Job, counter: str, *, again: bool) -> None:
        self.note("killed", **_who(job), peak=job.most, counter=counter, again=again)

    def ended(self, job: Job, status: int, seconds: float) -> None:
        """``status`` is the exit status or minus the signal."""
        predicted = job.predicted
        self.note(
            "ended", **_who(job), status=status, predicted=predicted.bytes, origin=predicted.origin, peak=job.most,
            seconds=round(seconds, 2), waited=round(job.waited, 2),
        )  # fmt: skip

    def budget(self, budget: Budget, running: Sequence[Running], answer: Admission) -> None:
        self.note(
            "budget",
            free=budget.free,
            reserve=budget.reserve,
            held=sum(one.held for one in running),
            promised=sum(max(one.weight.bytes, one.held) for one in running),
            running=len(running) + len(answer.numbers),
            waiting=len(answer.waiting),
            why=answer.reason,
            pressed=budget.pressed_since is not None,
        )

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


def _who(job: Job) -> dict[str, object]:
    return {"job": job.number, "source": job.task.name, "kind": job.task.kind}
