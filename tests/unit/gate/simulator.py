"""A build, simulated: compilers whose memory grows, a machine with a limit, and the product's own admission.

What it assumes, and where that is kinder or harsher than a machine:

* A compile is (seconds, peak, growth): its memory grows in a straight line to its peak at that share of its time and
  stays there to its end. Real nvcc has a first hill (cudafe++) and holds little after cicc has ended: less.
* Files come in the order of a build system that keeps a fixed number of jobs open; they do not depend on each other.
  Orders are shuffled, or clustered in runs of one kind, as the kernels of one directory are: then heavy ones meet.
* Processors are shared evenly. Memory bandwidth and caches are not simulated, nor are links, preprocessing and
  neighbours. What the machine holds besides compilers is constant.
* Near the limit everything slows down, since the kernel drops the compilers' own code from its file cache and reads it
  back: below 4 % of the limit free, speed falls in a straight line to 2 %. (Measured: 16 compilers that want 38 GB
  under 24 GiB are not done after 590 s, and none was killed.) The kernel's pressure figure (PSI) says so to the gate.
* Over the limit the compiler that holds most is killed. With a static job count it is started again at once, which is
  kinder than a build that fails; at the gate it runs alone with doubled weight, and the gate is careful from then on.
* The gate sees what is free and held exactly, every second or two and whenever a compiler comes or goes. What it knows
  beforehand is wrong: learned peaks by 4 % (one in thirty by a quarter), learned seconds by up to 15 %, learned growth
  by up to 10 %. Cold, it knows the kind of a file, as the packaged table describes it, and nothing else.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.learned import Measured, learn
from trtllm_builder.gate.policy import Budget, Policy, Running, Waiting, Weight, admit
from trtllm_builder.gate.weights import Weights

GIB = 2**30
CRAWL = 0.04
BASE = 0.3
"""GiB that the build system and the like hold."""
MOST_KILLS = 30
"""A build that loses more compilers than this has not finished."""


@dataclass(frozen=True)
class File:
    """``peak`` in GiB; ``growth`` is the share of its time after which it is reached."""

    kind: str
    seconds: float
    peak: float
    growth: float


@dataclass(frozen=True)
class Machine:
    """``memory`` in GiB. ``pod``: one kill takes everything, so the gate is careful from the start."""

    cores: int
    memory: float
    pod: bool = False

    @property
    def name(self) -> str:
        return f"{self.cores}/{self.memory:g}{' pod' if self.pod else ''}"


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


class _Load:
    """The compilers that run. Memory is a sum of straight lines in ``work``, seconds of undisturbed compiling."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.now = self.work = self.crawled = 0.0
        self.kills = 0
        self.peak = BASE
        self.running: dict[int, tuple[File, float, float]] = {}
        self._slope, self._level = 0.0, BASE
        self._events: list[tuple[float, bool, int, float]] = []

    @property
    def used(self) -> float:
        return self._level + self._slope * self.work

    def held(self, number: int) -> float:
        file, began, _ = self.running[number]
        return file.peak * min(1.0, (self.work - began) / (file.growth * file.seconds))

    def start(self, number: int, file: File) -> None:
        self.running[number] = (file, self.work, self.now)
        grown = file.growth * file.seconds
        self._slope += file.peak / grown
        self._level -= file.peak / grown * self.work
        heapq.heappush(self._events, (self.work + grown, False, number, self.work))
        heapq.heappush(self._events, (self.work + file.seconds, True, number, self.work))

    def _remove(self, number: int) -> None:
        file, began, _ = self.running.pop(number)
        grown = file.growth * file.seconds
        if self.work < began + grown:
            self._slope -= file.peak / grown
            self._level += file.peak / grown * began
        else:
            self._level -= file.peak

    def _next_event(self) -> tuple[float, bool, int, float] | None:
        while self._events:
            _, _, number, began = self._events[0]
            if number in self.running and self.running[number][1] == began:
                return self._events[0]
            heapq.heappop(self._events)
        return None

    def run(self, until: float) -> tuple[int | None, int | None]:
        """Goes on until a compiler ends or is killed (its number) or until a moment."""
        limit = self.machine.memory
        while True:
            free = (limit - self.used) / (CRAWL * limit)
            crawls = free < 1
            speed = min(1.0, self.machine.cores / max(1, len(self.running))) * (max(0.02, free) if crawls else 1)
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
                _, ends, number, began = event
                file = self.running[number][0]
                if ends:
                    self._level -= file.peak
                    del self.running[number]
                    return number, None
                slope = file.peak / (file.growth * file.seconds)
                self._slope -= slope
                self._level += slope * began + file.peak
            elif self.now >= until - 1e-9:
                return None, None

    def outcome(self) -> Outcome:
        unfinished = self.kills > MOST_KILLS
        return Outcome(math.inf if unfinished else self.now, self.kills, self.crawled, self.peak)


def lower_bound(files: Sequence[File], machine: Machine) -> float:
    """Seconds that no schedule beats: by memory, by processors, by the longest file."""
    memory = sum(file.peak * file.seconds * (1 - file.growth / 2) for file in files) / machine.memory
    return max(memory, sum(file.seconds for file in files) / machine.cores, max(file.seconds for file in files))


def static(files: Sequence[File], machine: Machine, jobs: int) -> Outcome:
    """A fixed number of jobs."""
    load = _Load(machine)
    queue = list(range(len(files)))[::-1]
    while (queue or load.running) and load.kills <= MOST_KILLS:
        while queue and len(load.running) < jobs:
            number = queue.pop()
            load.start(number, files[number])
        _, killed = load.run(math.inf)
        if killed is not None:
            queue.append(killed)
    return load.outcome()


Weigh = Callable[[int], Weight]
Ended = Callable[[int], None]


def gated(
    files: Sequence[File],
    machine: Machine,
    weigh: Weigh,
    ended: Ended = lambda number: None,
    *,
    policy: Policy | None = None,
    tick: float = 1.0,
) -> Outcome:
    """The product's admission; ``weigh`` says what it knows of a file that waits, ``ended`` hears of each that is done.
    The build system has twice as many jobs open as there are cores."""
    policy = policy or Policy()
    policy = replace(policy, slots=machine.cores)
    if machine.pod:
        policy = policy.careful()
    reserve = round(max(2.0, machine.memory / 10) * GIB)
    load = _Load(machine)
    queue = list(range(len(files)))[::-1]
    line: tuple[Waiting, ...] = ()
    weights: dict[int, Weight] = {}
    retried: set[int] = set()
    pressed: float | None = None
    while (queue or line or load.running) and load.kills <= MOST_KILLS:
        while queue and len(line) + len(load.running) < 2 * machine.cores:
            number = queue.pop()
            weights[number] = weigh(number)
            line += (Waiting(number, weights[number], load.now),)
        if line:
            free = machine.memory - load.used
            pressed = (load.now if pressed is None else pressed) if free < CRAWL * machine.memory else None
            running = [
                Running(number, weights[number], began, held := int(load.held(number) * GIB), held, number in retried)
                for number, (_, _, began) in load.running.items()
            ]
            answer = admit(policy, line, running, Budget(round(free * GIB), reserve, pressed), load.now)
            line = answer.waiting
            for number in answer.numbers:
                load.start(number, files[number])
        done, killed = load.run(load.now + tick if line else math.inf)
        if done is not None:
            ended(done)
            # What has just been measured is known of those that wait, too.
            line = tuple(one if one.alone else replace(one, weight=weigh(one.number)) for one in line)
            weights.update((one.number, one.weight) for one in line)
        if killed is not None:
            policy = policy.careful()
            weights[killed] = weights[killed].doubled()
            retried.add(killed)
            line += (Waiting(killed, weights[killed], load.now, alone=True),)
    return load.outcome()


def source_of(number: int, file: File) -> str:
    """A path whose kind the product recognises."""
    return {
        "cutlass": f"cpp/kernels/cutlass_kernels/k{number}.cu",
        "cuda": f"cpp/kernels/k{number}.cu",
        "c++": f"cpp/runtime/f{number}.cpp",
    }[file.kind]


def course(growth: float) -> tuple[float, ...]:
    """What would be learned of a straight growth: the most in each tenth, in twentieths."""
    return tuple(min(1.0, math.ceil(20 * min(1.0, (tenth + 1) / 10 / growth) - 1e-9) / 20) for tenth in range(10))


def knowledge(files: Sequence[File], seed: int, *, learned: bool) -> Weights:
    """What the gate knows before the build: nothing but the table, or an earlier build's wrong figures."""
    chance = random.Random(seed + 7919)
    pairs = []
    for number, file in enumerate(files) if learned else ():
        error = chance.gauss(1.0, 0.04) * (chance.choice((0.75, 1.3)) if chance.random() < 1 / 30 else 1.0)
        measured = Measured(
            when=0,
            peak=round(file.peak * error * GIB),
            seconds=file.seconds * chance.uniform(0.85, 1.15),
            course=course(file.growth * chance.uniform(0.9, 1.1)),
            kind=file.kind,
        )
        pairs.append((_compile(number, file), measured))
    return Weights(learn(pairs))


def _compile(number: int, file: File) -> Compile:
    source = source_of(number, file)
    return Compile("compile", source, source[source.rindex(".") :], ("90a",), 1)


def build(
    files: Sequence[File],
    machine: Machine,
    seed: int,
    *,
    learned: bool,
    policy: Policy | None = None,
    tick: float = 1.0,
) -> Outcome:
    """Through the gate, which learns as it goes."""
    weights = knowledge(files, seed, learned=learned)
    compiles = [_compile(number, file) for number, file in enumerate(files)]

    def ended(number: int) -> None:
        file = files[number]
        weights.note(compiles[number], Measured(0, round(file.peak * GIB), file.seconds, (), file.kind))

    return gated(files, machine, lambda number: weights.of(compiles[number]), ended, policy=policy, tick=tick)
