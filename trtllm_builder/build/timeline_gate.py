"""What a run's gate decided, as its timeline shows it: budget against use, who waited and why, peaks as expected or
not. Read from gate.jsonl (gate/decisions.py)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtllm_builder.build.samples import read_lines
from trtllm_builder.gate.decisions import DECISIONS

_WHY = {
    "memory": "there was not enough memory",
    "turn": "another one's turn had come",
    "pressure": "the kernel reported stalls for memory",
    "low memory": "hardly any memory was free",
    "alone": "nothing may run beside one that was killed",
    "slots": "all cores were busy",
}


@dataclass(frozen=True)
class GatePoint:
    """One moment. ``held`` is what the compilers hold, ``may`` what they may hold, ``promised`` what they were let in
    with, in bytes; ``why`` the first of those who wait does."""

    at: float
    held: int
    may: int
    promised: int
    running: int
    waiting: int
    why: str


@dataclass(frozen=True)
class GateJob:
    """A compiler that ended. ``predicted`` and ``peak`` in bytes, ``origin`` is where the first comes from; ``seconds``
    it ran, ``waited`` by reason; ``kills`` is how often it was killed for memory."""

    source: str
    kind: str
    status: int
    predicted: int
    origin: str
    peak: int
    seconds: float
    waited: Mapping[str, float] = field(default_factory=dict)
    kills: int = 0

    @property
    def waiting(self) -> float:
        return sum(self.waited.values())

    @property
    def told(self) -> str:
        """Why it waited, the longest first; that others were at work already need not be said of each."""
        reasons = sorted(self.waited.items(), key=lambda one: -one[1])
        return ", ".join(_WHY.get(why, why) for why, seconds in reasons if seconds >= 0.1 and why != "slots")


@dataclass(frozen=True)
class GateView:
    """``lost``: at some time compilers got no answer, and those that ran then are not among ``jobs``."""

    points: tuple[GatePoint, ...] = ()
    jobs: tuple[GateJob, ...] = ()
    lost: bool = False

    @property
    def waited(self) -> dict[str, float]:
        """Seconds that all compilers together waited, by reason, the longest first."""
        sums: defaultdict[str, float] = defaultdict(float)
        for job in self.jobs:
            for why, seconds in job.waited.items():
                sums[why] += seconds
        return {_WHY.get(why, why): sums[why] for why in sorted(sums, key=lambda one: -sums[one]) if sums[why] >= 0.1}

    @property
    def kills(self) -> int:
        return sum(job.kills for job in self.jobs)

    @property
    def largest(self) -> tuple[GateJob, ...]:
        return tuple(sorted(self.jobs, key=lambda job: -job.peak))

    def to_json(self) -> dict[str, Any]:
        return {
            "points": [vars(point) for point in self.points],
            "jobs": [{**vars(job), "waited": {why: round(s, 2) for why, s in job.waited.items()}} for job in self.jobs],
            "lost": self.lost,
        }


def read_gate(logs: Path, clock: Callable[[float], float]) -> GateView:
    """``clock`` makes seconds of the run of seconds since 1970. A line that makes no sense is passed over."""
    points: list[GatePoint] = []
    jobs: list[GateJob] = []
    lost = False
    waits: dict[int, _Wait] = {}
    for event in read_lines(logs / DECISIONS):
        if not _fit(event):
            continue
        at, kind, number = float(event["t"]), event["event"], event.get("job", 0)
        if kind == "budget":
            held, why = event["held"], str(event.get("why", ""))
            may = max(0, held + event["free"] - event["reserve"])
            points.append(GatePoint(clock(at), held, may, event["promised"], event["running"], event["waiting"], why))
            continue
        if kind == "lost":
            lost = True
            continue
        if kind == "opened":
            # Numbers begin anew when a run is gone on with.
            waits.clear()
            continue
        wait = waits.setdefault(number, _Wait())
        wait.pass_to(at, str(event.get("why", "")) if kind == "waits" else "")
        if kind == "killed":
            wait.kills += 1
        elif kind == "ended":
            del waits[number]
            source, kinds, origin = (str(event.get(name, "")) for name in ("source", "kind", "origin"))
            jobs.append(
                GateJob(
                    source, kinds, event.get("status", 0), event["predicted"], origin, event["peak"],
                    float(event["seconds"]), wait.by_reason, wait.kills,
                )
            )  # fmt: skip
        elif kind in ("gone", "refused"):
            del waits[number]
    return GateView(tuple(points), tuple(jobs), lost)


class _Wait:
    """What one compiler has waited so far."""

    def __init__(self) -> None:
        self.by_reason: dict[str, float] = {}
        self.kills = 0
        self._why = ""
        self._since = 0.0

    def pass_to(self, at: float, why: str) -> None:
        """From ``at`` on it waits for that reason, or no more."""
        if self._why:
            self.by_reason[self._why] = self.by_reason.get(self._why, 0.0) + max(0.0, at - self._since)
        self._why, self._since = why, at


_NUMBERS = {
    "opened": (),
    "budget": ("held", "free", "reserve", "promised", "running", "waiting"),
    "waits": ("job",),
    "started": ("job",),
    "killed": ("job",),
    "gone": ("job",),
    "refused": ("job",),
    "lost": (),
    "ended": ("job", "predicted", "peak", "seconds"),
}


def _fit(event: Mapping[str, Any]) -> bool:
    names = _NUMBERS.get(str(event.get("event")))
    if names is None or not _is_number(event.get("t")):
        return False
    return all(_is_number(event.get(name)) for name in names) and isinstance(event.get("status", 0), int)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18
