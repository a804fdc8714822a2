"""The product's own admission on a simulated machine: what it knows beforehand, and what it learns as it goes.

* The gate sees what is free and held exactly, at every tick and whenever a compiler comes or goes. What it knows
  beforehand is wrong (``Errors``): learned peaks by 4 % (one in thirty by a quarter), seconds by up to 15 % each and by
  up to 15 % all together. Cold, it knows the kind of a file, as the packaged table describes it, and nothing else.
* A compiler that was killed runs alone with doubled weight, and the gate is careful from then on.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gate_simulator import CRAWL, GIB, MOST_KILLS, File, Load, Machine, Outcome

from trtllm_builder.gate.budget import reserve_of
from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.learned import Measured, course_of, learn
from trtllm_builder.gate.policy import Budget, Policy, Running, Waiting, Weight, admit
from trtllm_builder.gate.weights import Weights
from trtllm_builder.host.memory import Memory, MemoryLimit

Weigh = Callable[[int], Weight]
Ended = Callable[[int, float], None]


def gated(
    files: Sequence[File],
    machine: Machine,
    weigh: Weigh,
    ended: Ended = lambda number, seconds: None,
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
    reserve = reserve_of(Memory(2**50, 2**50, (MemoryLimit("", round(machine.memory * GIB), 0),)))
    load = Load(machine)
    queue = list(range(len(files)))[::-1]
    line: tuple[Waiting, ...] = ()
    weights: dict[int, Weight] = {}
    retried: set[int] = set()
    since: dict[int, float] = {}
    pressed: float | None = None
    while (queue or line or load.running) and load.kills <= MOST_KILLS:
        while queue and len(line) + len(load.running) < 2 * machine.cores:
            number = queue.pop()
            weights[number] = weigh(number)
            line += (Waiting(number, weights[number], load.now),)
        if line:
            free = machine.memory - load.used
            stalls = machine.pressed or free < CRAWL * machine.memory
            pressed = (load.now if pressed is None else pressed) if stalls else None
            running = [
                Running(
                    number,
                    weights[number],
                    run.since,
                    int(load.held(number) * GIB),
                    int(run.most * GIB),
                    number in retried,
                )
                for number, run in load.running.items()
            ]
            answer = admit(policy, line, running, Budget(round(free * GIB), reserve, pressed), load.now)
            line = answer.waiting
            for number in answer.numbers:
                load.start(number, files[number])
                since[number] = load.now
        done, killed = load.run(load.now + tick if line else math.inf)
        if done is not None:
            del weights[done]
            ended(done, load.now - since[done])
            # What has just been measured is known of the others, too.
            weights.update((number, weigh(number)) for number in weights.keys() - retried)
            line = tuple(replace(one, weight=weights[one.number]) for one in line)
        if killed is not None:
            policy = policy.careful()
            weights[killed] = weights[killed].doubled(0)
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


@dataclass(frozen=True)
class Errors:
    """Of what was learned: ``peak`` and ``seconds`` of each file (one file in thirty has changed by a quarter), and
    ``pace`` of all files together."""

    peak: float = 0.04
    seconds: float = 0.15
    pace: float = 0.15
    changed: float = 1 / 30


def measured(file: File, took: float, peak: float, tick: float = 0.5) -> Measured:
    """As the broker sees it, which looks every ``tick`` seconds."""
    ages = [tick * index for index in range(int(took / tick) + 1)]
    samples = [(age, round(_held(file, age / took * file.seconds) * peak * GIB)) for age in ages]
    return Measured(0, round(peak * GIB), took, course_of(samples, took, round(peak * GIB)), file.kind)


def _held(file: File, at: float) -> float:
    for (since, before), (until, after) in pairwise(file.knots):
        if at <= until:
            return (before + (after - before) * (at - since) / (until - since)) / file.peak
    return 0.0


def knowledge(files: Sequence[File], seed: int, *, learned: bool, errors: Errors = Errors()) -> Weights:
    """What the gate knows before the build: nothing but the table, or an earlier build's wrong figures."""
    chance = random.Random(seed + 7919)
    pace = chance.uniform(1 - errors.pace, 1 + errors.pace)
    pairs = []
    for number, file in enumerate(files) if learned else ():
        error = chance.gauss(1.0, errors.peak) * (chance.choice((0.75, 1.3)) if chance.random() < errors.changed else 1)
        took = file.seconds * pace * chance.uniform(1 - errors.seconds, 1 + errors.seconds)
        pairs.append((_compile(number, file), measured(file, took, file.peak * error)))
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
    errors: Errors = Errors(),
) -> Outcome:
    """Through the gate, which learns as it goes."""
    weights = knowledge(files, seed, learned=learned, errors=errors)
    compiles = [_compile(number, file) for number, file in enumerate(files)]

    def ended(number: int, took: float) -> None:
        weights.note(compiles[number], measured(files[number], took, files[number].peak))

    return gated(files, machine, lambda number: weights.of(compiles[number]), ended, policy=policy, tick=tick)
