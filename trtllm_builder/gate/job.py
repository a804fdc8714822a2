"""A compiler at the gate: what it is about to do, who judges that, and how it stands."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.door import Caller
from trtllm_builder.gate.policy import Reason, Waiting, Weight
from trtllm_builder.host.kills import Kills

_MOST_SAMPLES = 200


@dataclass(frozen=True)
class Task:
    """What a compiler is about to do. ``name`` is what it works on, for people."""

    name: str
    kind: str
    compile: Compile


class Judge(Protocol):
    """Says what compilers will take, and is told what they took. It is asked in the broker's thread."""

    def read(self, argv: Sequence[str], directory: str) -> Task: ...

    def weigh(self, task: Task) -> Weight: ...

    def note(self, task: Task, peak: int, seconds: float, samples: Sequence[tuple[float, int]]) -> None:
        """``task`` ended well; ``samples`` are its age in seconds and the bytes that it held."""


@dataclass(frozen=True)
class Killed:
    """A compiler that was killed for memory twice, the second time alone. ``peak`` in bytes, as far as it was seen;
    ``counter`` is what told that it was for memory; ``known`` is what it took where it ended well, 0 for never seen."""

    name: str
    peak: int
    counter: str
    known: int = 0


@dataclass
class Job:
    """``since`` is when it last began to wait or to run; ``line`` its place in the line while it waits. ``predicted``
    is what was expected of it at first; ``lost``: its client was killed."""

    number: int
    connection: socket.socket
    who: Caller
    task: Task
    since: float
    predicted: Weight
    weight: Weight
    line: Waiting | None
    waited: float = 0.0
    held: int = 0
    most: int = 0
    kills: Kills | None = None
    attempts: int = 0
    told: Reason = ""
    lost: bool = False
    samples: list[tuple[float, int]] = field(default_factory=list)

    def look(self, now: float, held: int) -> None:
        """It holds ``held`` bytes ``now``."""
        self.held = held
        self.most = max(self.most, held)
        self.samples.append((now - self.since, held))
        if len(self.samples) > _MOST_SAMPLES:
            del self.samples[::2]
