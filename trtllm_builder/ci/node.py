"""What runs on a cluster's node: one attempt at one profile, when it is its turn."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from trtllm_builder.ci.attempt import Task, attempt
from trtllm_builder.ci.hold import held
from trtllm_builder.errors import Interrupted

_POLL = 0.5


@dataclass(frozen=True)
class NodeJob:
    """Called on the node. ``environ`` is added to the environment there. Of all jobs with the same directory ``slots``
    only ``at_once`` work at a time; with 0 nobody waits."""

    task: Task
    environ: Mapping[str, str] = field(default_factory=dict)
    slots: Path | None = None
    at_once: int = 0

    def __call__(self) -> dict[str, Any]:
        signal.signal(signal.SIGUSR2, _time_is_over)
        self.task.events.parent.mkdir(parents=True, exist_ok=True)
        told: set[int | None] = set()

        def wait(process: int | None) -> None:
            if process not in told:
                told.add(process)
                self._note("busy", by=process)
            time.sleep(_POLL)

        # A slot is for who can work at once.
        with held(self.task.directory, self.task.workspace, wait) as hold:
            self._note("waiting")
            with _turn(self.slots, self.at_once):
                self._note("begun")
                environ = {**os.environ, **self.environ}
                # The cluster keeps what is printed as the job's log.
                result = attempt(self.task, environ, lambda event: print(json.dumps(event)), hold)  # noqa: T201
        return result.to_json()

    def _note(self, state: str, **more: int | None) -> None:
        event = {"event": "node", "state": state, "node": platform.node(), "time": round(time.time(), 3), **more}
        with self.task.events.open("a") as stream:
            stream.write(json.dumps(event) + "\n")


def _time_is_over(number: int, _frame: FrameType | None) -> None:
    """By this signal submitit has Slurm warn a job whose time is nearly over."""
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted("the time that the cluster gives a job was over", signal=signal.SIGTERM, remedy="")


@contextmanager
def _turn(slots: Path | None, at_once: int) -> Iterator[None]:
    """Hold one of the slots. The kernel gives a slot back when its holder dies."""
    if slots is None or not at_once:
        yield
        return
    slots.mkdir(parents=True, exist_ok=True)
    handles = [
        os.open(slots / f"slot-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644) for number in range(at_once)
    ]
    try:
        while not any(_taken(handle) for handle in handles):
            time.sleep(_POLL)
        yield
    finally:
        for handle in handles:
            os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
