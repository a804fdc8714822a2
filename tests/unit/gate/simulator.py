"""A build, simulated: compilers whose memory grows, and a machine with a limit (the gate: simulated_gate.py).

What it assumes, and where that is kinder or harsher than a machine:

* A compile is (seconds, peak, growth): its memory grows in a straight line to its peak at that share of its time and
  stays there to its end. Where its course was recorded, it follows that: three hills, and the peak a tenth of the time.
* Files come in the order of a build system that keeps a fixed number of jobs open; they do not depend on each other.
  Orders are shuffled, or clustered in runs of one kind, as the kernels of one directory are: then heavy ones meet.
* Processors are shared evenly, and two threads of a core share it where the machine is said to have such. Memory
  bandwidth and caches are not simulated, nor are links, preprocessing and neighbours. What the machine holds besides
  compilers is constant.
* Near the limit everything slows down, since the kernel drops the compilers' own code from its file cache and reads it
  back: below 4 % of the limit free, speed falls in a straight line to 2 %. (Measured: 16 compilers that want 38 GB
  under 24 GiB are not done after 590 s, and none was killed.) The kernel's pressure figure (PSI) says so to the gate.
* Over the limit the compiler that holds most is killed. With a static job count it is started again at once, which is
  kinder than a build that fails.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

GIB = 2**30
CRAWL = 0.04
BASE = 0.3
"""GiB that the build system and the like hold."""
MOST_KILLS = 30
"""A build that loses more compilers than this has not finished."""


@dataclass(frozen=True)
class File:
    """``peak`` in GiB; ``growth`` is the share of its time after which it is reached. ``course``: the share of the peak
    that is held at the end of each tenth, where that was recorded."""

    kind: str
    seconds: float
    peak: float
    growth: float
    course: tuple[float, ...] = ()

    @cached_property
    def knots(self) -> list[tuple[float, float]]:
        """(seconds, GiB): its memory goes in straight lines from one to the next."""
        if not self.course:
            return [(0.0, 0.0), (self.growth * self.seconds, self.peak), (self.seconds, self.peak)]
        shares = [(0.0, 0.0), *(((tenth + 1) / 10, share) for tenth, share in enumerate(self.course))]
        if max(self.course) < 0.98:
            # The peak was between two looks.
            shares = sorted([*shares, (self.growth + 0.04, 1.0)])
        return [(at * self.seconds, share * self.peak) for at, share in shares]


@dataclass(frozen=True)
class Machine:
    """``memory`` in GiB. ``pod``: one kill takes everything, so the gate is careful from the start. ``twins``: two of
    its processors are threads of one core, and the second adds this share of the first one's speed. ``pressed``: the
    kernel reports stalls for memory all the time, which are others'."""

    cores: int
    memory: float
    pod: bool = False
    twins: float = 1.0
    pressed: bool = False

    @property
    def name(self) -> str:
        return f"{self.cores}/{self.memory:g}{' pod' if self.pod else ''}{' pressed' if self.pressed else ''}"

    def speed(self, running: int) -> float:
        """Of each compiler."""
        whole = self.cores / 2
        if running <= whole:
            return 1.0
        return (whole + self.twins * (min(running, self.cores) - whole)) / running


@dataclass(frozen=True)
class Outcome:
    """``seconds`` is infinite when too many were killed; ``crawled`` is how many of them were spent near the limit."""

    seconds: float
    kills: int
    crawled: float
    peak: float


def mixed(seed: int, count: int, *, clustered: bool) -> list[File]:
    """prior-art's mix: 15 % heavy kernels, 35 % other .cu, 50 % C++; in runs of fifteen when ``clustered``."""
    chance = random.Random(seed)
    kinds = {
        "cutlass": (round(count * 0.15), (60, 240), (4, 10), (0.4, 0.8)),
        "cuda": (round(count * 0.35), (30, 80), (1.7, 3.2), (0.4, 0.8)),
        "c++": (count - round(count * 0.15) - round(count * 0.35), (5, 25), (0.4, 1.3), (0.4, 0.95)),
    }
    files = [
        File(kind, chance.uniform(*seconds), chance.uniform(*peak), chance.uniform(*growth))
        for kind, (number, seconds, peak, growth) in kinds.items()
        for _ in range(number)
    ]
    chance.shuffle(files)
    if not clustered:
        return files
    sorted_files = [[file for file in files if file.kind == kind] for kind in kinds]
    runs = [group[start : start + 15] for group in sorted_files for start in range(0, len(group), 15)]
    chance.shuffle(runs)
    return [file for run in runs for file in run]


@dataclass
class _Run:
    """A compiler: ``began`` in work, ``since`` on the clock. Between two knots it holds ``level + slope * work``."""

    file: File
    began: float
    since: float
    knot: int = 0
    slope: float = 0.0
    level: float = 0.0
    most: float = 0.0


class Load:
    """The compilers that run. Memory is a sum of straight lines in ``work``, seconds of undisturbed compiling."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.now = self.work = self.crawled = 0.0
        self.kills = 0
        self.peak = BASE
        self.running: dict[int, _Run] = {}
        self._slope, self._level = 0.0, BASE
        self._events: list[tuple[float, int, float]] = []

    @property
    def used(self) -> float:
        return self._level + self._slope * self.work

    def held(self, number: int) -> float:
        """Now; whoever asks has looked."""
        run = self.running[number]
        found = max(0.0, run.level + run.slope * self.work)
        run.most = max(run.most, found)
        return found

    def start(self, number: int, file: File) -> None:
        self.running[number] = _Run(file, self.work, self.now)
        self._next_line(number)

    def _next_line(self, number: int) -> bool:
        """Whether there is one after the knot that has been reached."""
        run = self.running[number]
        self._slope -= run.slope
        self._level -= run.level
        knots = run.file.knots
        run.knot += 1
        if run.knot == len(knots):
            del self.running[number]
            return False
        (since, before), (until, after) = knots[run.knot - 1 : run.knot + 1]
        run.most = max(run.most, 0.98 * before)
        run.slope = (after - before) / (until - since)
        run.level = before - run.slope * (run.began + since)
        self._slope += run.slope
        self._level += run.level
        heapq.heappush(self._events, (run.began + until, number, run.began))
        return True

    def _remove(self, number: int) -> None:
        run = self.running.pop(number)
        self._slope -= run.slope
        self._level -= run.level

    def _next_event(self) -> tuple[float, int, float] | None:
        while self._events:
            _, number, began = self._events[0]
            if number in self.running and self.running[number].began == began:
                return self._events[0]
            heapq.heappop(self._events)
        return None

    def run(self, until: float) -> tuple[int | None, int | None]:
        """Goes on until a compiler ends or is killed (its number) or until a moment."""
        limit = self.machine.memory
        while True:
            free = (limit - self.used) / (CRAWL * limit)
            crawls = free < 1
            speed = self.machine.speed(len(self.running)) * (max(0.02, free) if crawls else 1)
            step = until - self.now
            event = self._next_event()
            reached = event is not None and (event[0] - self.work) / speed <= step
            if event is not None and reached:
                step = max(0.0, (event[0] - self.work) / speed)
            if crawls and step > 0.5:
                step, reached = 0.5, False
            elif not crawls and self._slope > 1e-12:
                till_crawl = ((1 - CRAWL) * limit - self.used) / self._slope / speed + 1e-6
                if till_crawl < step:
                    step, reached = till_crawl, False
            self.now += step
            self.work += step * speed
            self.crawled += step if crawls else 0.0
            self.peak = max(self.peak, self.used)
            if self.used > limit * 0.9995:
                largest = max(self.running, key=self.held)
                self._remove(largest)
                self.kills += 1
                return None, largest
            if event is not None and reached:
                heapq.heappop(self._events)
                if not self._next_line(event[1]):
                    return event[1], None
            elif self.now >= until - 1e-9:
                return None, None

    def outcome(self) -> Outcome:
        unfinished = self.kills > MOST_KILLS
        return Outcome(math.inf if unfinished else self.now, self.kills, self.crawled, self.peak)


def lower_bound(files: Sequence[File], machine: Machine) -> float:
    """Seconds that no schedule beats: by memory, by processors, by the longest file."""
    memory = sum(
        (until - since) * (before + after) / 2
        for file in files
        for (since, before), (until, after) in pairwise(file.knots)
    )
    processors = machine.cores * machine.speed(machine.cores)
    return max(
        memory / machine.memory, sum(file.seconds for file in files) / processors, max(file.seconds for file in files)
    )


def static(files: Sequence[File], machine: Machine, jobs: int) -> Outcome:
    """A fixed number of jobs."""
    load = Load(machine)
    queue = list(range(len(files)))[::-1]
    while (queue or load.running) and load.kills <= MOST_KILLS:
        while queue and len(load.running) < jobs:
            number = queue.pop()
            load.start(number, files[number])
        _, killed = load.run(math.inf)
        if killed is not None:
            queue.append(killed)
    return load.outcome()
