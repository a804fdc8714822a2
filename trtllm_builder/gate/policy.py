"""Who may start compiling now: pure, without clock or file, so that the simulator runs the very same code.

The rule: what the running compilers will still take, discounted by ``growth``, and all that the new one will take, must
fit into what is free less the reserve. What the running ones hold already is not free any more, so it counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Reason = Literal["", "memory", "turn", "pressure", "low memory", "alone", "slots"]
"""Why a compiler waits: it does not fit (``memory``); one that came earlier has been passed over often enough and goes
first (``turn``); the kernel reports that processes stall for memory (``pressure``); less than half of the reserve is
free (``low memory``); a compiler that was killed runs again by itself (``alone``); as many as allowed run (``slots``).
"""


@dataclass(frozen=True)
class Weight:
    """``bytes`` that a compile will hold at its peak, and where that figure comes from, for people."""

    bytes: int
    origin: str


@dataclass(frozen=True)
class Waiting:
    """``number`` rises in the order of arrival; ``since`` in seconds of the caller's clock; ``passed`` is how often one
    that came later was admitted first; ``why`` it waits, as the last decision had it. ``alone``: it was killed for
    memory and runs again with nothing beside it."""

    number: int
    weight: Weight
    since: float
    alone: bool = False
    passed: int = 0
    why: Reason = ""


@dataclass(frozen=True)
class Running:
    """``held`` is what it and its children hold now and ``most`` the most that was seen, in bytes; ``since`` when it
    was admitted."""

    number: int
    weight: Weight
    since: float
    held: int = 0
    most: int = 0
    alone: bool = False


@dataclass(frozen=True)
class Budget:
    """Bytes: ``free`` may be taken before something is killed, ``reserve`` of it is to stay free. ``pressed_since`` is
    when the kernel began to report stalls for memory; None while it reports none or cannot."""

    free: int
    reserve: int
    pressed_since: float | None = None


@dataclass(frozen=True)
class Policy:
    """``growth``: the share of the running compilers' growth to come that is counted (1: all). ``slots``: compilers at
    a time, None for no limit. One that waits may be passed ``most_passed`` times or for ``longest_wait`` seconds; then
    nobody who came later is admitted before it. Under lasting pressure one is admitted every ``patience`` seconds: the
    pressure may come from others and never end."""

    growth: float = 0.7
    slots: int | None = None
    most_passed: int = 16
    longest_wait: float = 60.0
    patience: float = 30.0

    def careful(self) -> Policy:
        """After the first kill, and where a kill takes more than the compiler: nothing is discounted."""
        return replace(self, growth=1.0)


@dataclass(frozen=True)
class Admission:
    """``numbers`` to start, in this order, and the rest of the line as it is to be handed in next time. ``room`` is
    what could still be promised after them and ``need`` what the first of the rest would take, in bytes."""

    numbers: tuple[int, ...]
    waiting: tuple[Waiting, ...]
    room: int
    need: int = 0

    @property
    def reason(self) -> Reason:
        """Why the first of the rest waits."""
        return self.waiting[0].why if self.waiting else ""


def admit(
    policy: Policy, waiting: Sequence[Waiting], running: Sequence[Running], budget: Budget, now: float
) -> Admission:
    """Whom of ``waiting`` (in any order) to start at ``now``. When nothing runs, somebody is always started."""
    line = sorted(waiting, key=lambda one: (not one.alone, one.number))
    started: list[Waiting] = []
    room = budget.free - budget.reserve - round(policy.growth * sum(max(0, r.weight.bytes - r.held) for r in running))
    newest = max((one.since for one in running), default=now)
    rest: list[Waiting] = []
    for one in line:
        count = len(running) + len(started)
        why = _obstacle(policy, one, count, started, running, budget, room, newest, now)
        if not why and (held_up := _first_due(policy, rest, now)) is not None:
            why = held_up
        if why:
            rest.append(replace(one, why=why))
            continue
        started.append(one)
        room -= round(one.weight.bytes * (policy.growth if count else 1))
        rest = [replace(other, passed=other.passed + 1) for other in rest]
    return Admission(tuple(one.number for one in started), tuple(rest), room, rest[0].weight.bytes if rest else 0)


def _obstacle(
    policy: Policy,
    one: Waiting,
    count: int,
    started: Sequence[Waiting],
    running: Sequence[Running],
    budget: Budget,
    room: int,
    newest: float,
    now: float,
) -> Reason:
    if not count:
        return ""
    if one.alone or any(other.alone for other in started) or any(other.alone for other in running):
        return "alone"
    if policy.slots is not None and count >= policy.slots:
        return "slots"
    if budget.free < budget.reserve / 2:
        return "low memory"
    if budget.pressed_since is not None and (started or now - max(budget.pressed_since, newest) < policy.patience):
        return "pressure"
    return "memory" if one.weight.bytes > room else ""


def _first_due(policy: Policy, rest: Sequence[Waiting], now: float) -> Reason | None:
    for one in rest:
        if one.alone:
            return "alone"
        if one.passed >= policy.most_passed or now - one.since >= policy.longest_wait:
            return "turn"
    return None
