"""What a run did when: its stages, upstream's phases, every build step in a lane, and what all that used."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trtllm_builder.build.estimate import class_of
from trtllm_builder.build.journal import Journal, Json
from trtllm_builder.build.samples import Sample, Step, read_samples, read_steps
from trtllm_builder.build.timeline_gate import GateView, read_gate

SCHEMA = 1
# Ninja counts whole milliseconds: a step may seem to begin a little before the one whose place it takes has ended.
_TOUCHING = 0.002


@dataclass(frozen=True)
class Span:
    """A stage or a phase. Seconds of the run; ``state`` is done, or how it ended."""

    name: str
    start: float
    end: float
    state: str = "done"

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Placed:
    """A build step in its lane, the uppermost being 0. Seconds of the run. ``kind`` is its class (estimate.py).
    ``start`` is when it began to work, after ``waited`` seconds at the gate."""

    output: str
    kind: str
    start: float
    end: float
    lane: int
    hit: bool | None
    waited: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Point:
    """One moment's use: bytes of memory and of disk taken since the first sample, processors busy, steps at work, and
    the compile cache's hits and calls so far."""

    at: float
    memory: int
    disk_taken: int
    cpu: float
    jobs: int
    hits: int
    calls: int


@dataclass(frozen=True)
class Timeline:
    """All times are seconds since the run began, without the pauses between an interruption and going on (``breaks``
    are where these were). ``memory_limit`` is what all processes together could have, in bytes, 0 when it is not known,
    and ``memory_limit_source`` what said so."""

    run: str
    profile: str
    began: float
    seconds: float
    breaks: tuple[float, ...]
    stages: tuple[Span, ...]
    phases: tuple[Span, ...]
    steps: tuple[Placed, ...]
    points: tuple[Point, ...]
    memory_limit: int
    memory_limit_source: str
    gate: GateView

    def phases_of(self, stage: Span) -> tuple[Span, ...]:
        """Upstream's phases while that stage was at work."""
        return tuple(span for span in self.phases if stage.start <= (span.start + span.end) / 2 <= stage.end)

    @property
    def lanes(self) -> int:
        return max((step.lane + 1 for step in self.steps), default=0)

    @property
    def slowest(self) -> tuple[Placed, ...]:
        return tuple(sorted(self.steps, key=lambda step: -step.seconds))

    @property
    def peak_memory(self) -> int:
        return max((point.memory for point in self.points), default=0)

    @property
    def peak_disk(self) -> int:
        return max((point.disk_taken for point in self.points), default=0)

    @property
    def hits(self) -> tuple[int, int]:
        """Hits and calls of the compile cache."""
        asked = [step for step in self.steps if step.hit is not None]
        return sum(bool(step.hit) for step in asked), len(asked)

    @property
    def concurrency(self) -> float:
        """Steps at work on average, while any were."""
        covered, end = 0.0, 0.0
        for step in sorted(self.steps, key=lambda step: step.start):
            covered += max(0.0, step.end - max(end, step.start))
            end = max(end, step.end)
        return sum(step.seconds for step in self.steps) / covered if covered else 0.0

    def to_json(self) -> dict[str, Any]:
        hits, calls = self.hits
        return {
            "schema": SCHEMA,
            "run": self.run,
            "profile": self.profile,
            "began": self.began,
            "seconds": round(self.seconds, 3),
            "breaks": list(self.breaks),
            "stages": [asdict(span) for span in self.stages],
            "phases": [asdict(span) for span in self.phases],
            "steps": [asdict(step) for step in self.steps],
            "points": [asdict(point) for point in self.points],
            "memory_limit": self.memory_limit,
            "memory_limit_source": self.memory_limit_source,
            "peak_memory": self.peak_memory,
            "peak_disk": self.peak_disk,
            "cache": {"hits": hits, "calls": calls},
            "concurrency": round(self.concurrency, 2),
            "gate": self.gate.to_json(),
        }


class _Clock:
    """From seconds since 1970 to seconds of the run, which stand still between its starts."""

    def __init__(self, starts: Sequence[tuple[float, float]]) -> None:
        self._starts = starts

    def __call__(self, moment: float) -> float:
        worked = 0.0
        for began, ended in self._starts:
            if moment <= ended:
                return round(worked + max(0.0, moment - began), 3)
            worked += ended - began
        return round(worked, 3)


def read_timeline(journal: Journal, logs: Path, run: str) -> Timeline:
    """From what a run has written so far, whether it has ended or not."""
    events = [event for event in journal.events() if run in (event.get("id"), event.get("run")) and _moment(event)]
    samples, steps = read_samples(logs), read_steps(logs)
    starts = _starts(events, [*(one.t for one in samples), *(one.end for one in steps)])
    clock = _Clock(starts)
    breaks = [clock(ended) for _, ended in starts[:-1]]
    plan: Json = next((event["plan"] for event in events if isinstance(event.get("plan"), dict)), {})
    limits = [event for event in events if event["event"] == "limit" and isinstance(event.get("memory"), int)]
    limit: Json = limits[-1] if limits else {}
    return Timeline(
        run=run,
        profile=str(plan.get("profile", "")),
        began=starts[0][0] if starts else 0.0,
        seconds=sum(ended - began for began, ended in starts),
        breaks=tuple(breaks),
        stages=_stages(events, clock, starts),
        phases=_phases(samples, clock, breaks),
        steps=_place(steps, clock),
        points=_points(samples, clock),
        memory_limit=max(0, limit.get("memory", 0)),
        memory_limit_source=str(limit.get("source", "")),
        gate=read_gate(logs, clock),
    )


def _moment(event: Json) -> float:
    moment = event.get("time")
    return float(moment) if isinstance(moment, (int, float)) and 0 < moment < 1e11 else 0.0


def _starts(events: Sequence[Json], signs: Iterable[float]) -> list[tuple[float, float]]:
    """When the run was started, and its last sign of life each time."""
    began = [_moment(event) for event in events if event["event"] == "run"]
    moments = sorted([*(_moment(event) for event in events), *signs])
    spans = []
    for number, start in enumerate(began):
        until = began[number + 1] if number + 1 < len(began) else float("inf")
        spans.append((start, max((moment for moment in moments if start <= moment < until), default=start)))
    return spans


def _stages(events: Sequence[Json], clock: _Clock, starts: Sequence[tuple[float, float]]) -> tuple[Span, ...]:
    spans: list[Span] = []
    open_: tuple[str, float] | None = None
    for event in events:
        kind, at = event["event"], _moment(event)
        if kind == "begin":
            open_ = (str(event.get("stage")), at)
        elif open_ is not None and kind in ("end", "failed", "interrupted", "run"):
            # A run that is started again had died without a word.
            end = next((ended for began, ended in reversed(starts) if began < at), at) if kind == "run" else at
            state = {"end": "done", "run": "died"}.get(str(kind), str(kind))
            spans.append(Span(open_[0], clock(open_[1]), clock(end), state))
            open_ = None
    if open_ is not None:
        spans.append(Span(open_[0], clock(open_[1]), clock(starts[-1][1]) if starts else clock(open_[1]), "unfinished"))
    return tuple(spans)


def _phases(samples: Sequence[Sample], clock: _Clock, breaks: Sequence[float]) -> tuple[Span, ...]:
    """Upstream's own phases, as the samples tell them; a phase ends where the next one begins, or at a break."""
    spans: list[Span] = []
    for sample in samples:
        at = clock(sample.t)
        last = spans[-1] if spans else None
        broken = last is not None and any(last.end <= moment < at for moment in breaks)
        if last is not None and not broken:
            spans[-1] = Span(last.name, last.start, at)
        if last is None or broken or last.name != sample.phase:
            spans.append(Span(sample.phase, at, at))
    return tuple(spans)


def _place(steps: Sequence[Step], clock: _Clock) -> tuple[Placed, ...]:
    """Each step in the uppermost lane that is free when it begins."""
    placed = []
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    lanes = 0
    for step in sorted(steps, key=lambda step: step.start + step.waited):
        began = step.start + step.waited
        while busy and busy[0][0] <= began + _TOUCHING:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane, lanes = lanes, lanes + 1
        heapq.heappush(busy, (step.end, lane))
        start, end = clock(began), clock(step.end)
        kind = class_of(step.output)[0]
        placed.append(Placed(step.output, kind, start, max(start, end), lane, step.hit, round(step.waited, 3)))
    return tuple(placed)


def _points(samples: Sequence[Sample], clock: _Clock) -> tuple[Point, ...]:
    first = samples[0].disk_free if samples else 0
    return tuple(
        Point(
            at=clock(one.t),
            memory=one.memory,
            disk_taken=max(0, first - one.disk_free),
            cpu=one.cpu,
            jobs=one.jobs,
            hits=one.hits,
            calls=one.hits + one.misses,
        )
        for one in samples
    )
