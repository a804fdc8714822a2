"""Who may start compiling now: pure, without clock or file, so that the simulator runs the very same code.

What all running compilers and the new one will hold at any time to come must fit into what is free and what they hold
already, less the reserve. What they hold is not free any more, so it counts once; what they will still take counts by
their forecast: two peaks that will not meet need not both find room. Where a kill can't be afforded (``careful``), all
peaks are taken to meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from trtllm_builder.gate.forecast import Forecast, Weight, horizon

__all__ = ["Admission", "Budget", "Policy", "Reason", "Running", "Waiting", "Weight", "admit"]

Reason = Literal["", "memory", "turn", "pressure", "low memory", "alone", "slots"]
"""Why a compiler waits: it does not fit (``memory``); one that came earlier has been passed over often enough and goes
first (``turn``); the kernel reports that processes stall for memory (``pressure``); less than half of the reserve is
free (``low memory``); a compiler that was killed runs again by itself (``alone``); as many as allowed run (``slots``).
"""


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
    """``deviations`` and ``largest`` say how far forecasts may be off (:meth:`Forecast.need`); ``timeless`` makes no
    use of the time at which a peak comes. ``slots``: compilers at a time, None for no limit. One that waits may be
    passed ``most_passed`` times or for ``longest_wait`` seconds; then nobody who came later is admitted before it.
    Under lasting pressure one is admitted every ``patience`` seconds: it may come from others and never end. Where
    nothing but the kind is known, two run at least if the old rule says so: ``divisor`` bytes for each."""

    deviations: float = 2.0
    largest: float = 1.0
    timeless: bool = False
    slots: int | None = None
    divisor: int = 6 * 2**30
    most_passed: int = 64
    longest_wait: float = 300.0
    patience: float = 30.0

    def careful(self) -> Policy:
        """After the first kill, and where a kill takes more than the compiler: all peaks are taken to meet."""
        return replace(self, timeless=True)


@dataclass(frozen=True)
class Admission:
    """``numbers`` to start, in this order, and the rest of the line as it is to be handed in next time. ``room`` is
    what is left beside all that was promised (less than nothing when more is held than was foreseen), in bytes."""

    numbers: tuple[int, ...]
    waiting: tuple[Waiting, ...]
    room: int

    @property
    def reason(self) -> Reason:
        """Why the one that waits longest does."""
        return min(self.waiting, key=lambda one: one.number).why if self.waiting else ""


def admit(
    policy: Policy, waiting: Sequence[Waiting], running: Sequence[Running], budget: Budget, now: float
) -> Admission:
    """Whom of ``waiting`` (in any order) to start at ``now``. When nothing runs, somebody is always started.

    Those whose turn it is come first, in the order in which they came, and nobody passes them; then one of each kind
    that is yet unknown, the lightest first; then the heaviest, so that no giant is left for the end. The first that
    does not fit keeps the room that it will find when others have ended; lighter ones fill what that leaves.
    """
    scouts = _scouts(waiting, running)
    line = sorted(waiting, key=lambda one: _rank(policy, one, now, scouts))
    room, forecast = _outlook(policy, waiting, running, budget, now)
    promised = sum(max(one.weight.bytes, one.held) for one in running)
    whole = 1.1 * (room + budget.reserve)
    least = min(2, int(whole / policy.divisor))
    newest = max((one.since for one in running), default=now)
    weights = [one.weight for one in waiting] + [one.weight for one in running]
    heaviest = max((one.bytes * (1 + 2 * one.spread) for one in weights), default=0.0)
    plentiful = policy.slots is not None and policy.slots * heaviest <= room
    started: list[Waiting] = []
    rest: list[Waiting] = []
    alone, drained = any(one.alone for one in running), False
    planned = False
    for one in line:
        why: Reason = ""
        count = len(running) + len(started)
        if not count:
            pass
        elif one.alone or alone:
            why = "alone"
        elif policy.slots is not None and count >= policy.slots:
            why = "slots"
        elif drained:
            why = "turn"
        elif budget.free < budget.reserve / 2:
            why = "low memory"
        elif plentiful:
            pass
        elif budget.pressed_since is not None and (
            started or now - max(budget.pressed_since, newest) < policy.patience
        ):
            why = "pressure"
        elif not forecast.fits(one.weight, room) and not (
            one.weight.kind and count < least and promised + one.weight.bytes <= whole
        ):
            why = "memory"
            if not one.weight.kind and not planned and (delay := forecast.delay(one.weight, room)) is not None:
                # Whoever comes behind must leave it the room that it will find.
                forecast.add(one.weight, age=-delay)
                planned = True
        if why:
            rest.append(one if one.why == why else replace(one, why=why))
            drained = drained or _due(policy, one, now)
        else:
            started.append(one)
            forecast.add(one.weight)
            promised += one.weight.bytes
            alone = alone or one.alone
    return Admission(
        tuple(one.number for one in started), tuple(_passed(one, started) for one in rest), room - forecast.need()
    )


def _scouts(waiting: Sequence[Waiting], running: Sequence[Running]) -> frozenset[int]:
    """One of each kind of which nothing has been measured yet and none runs."""
    tried = {one.weight.kind for one in running}
    first: dict[str, int] = {}
    for one in waiting:
        if not one.weight.measured and one.weight.kind not in tried:
            first[one.weight.kind] = min(one.number, first.get(one.weight.kind, one.number))
    return frozenset(first.values())


def _rank(policy: Policy, one: Waiting, now: float, scouts: frozenset[int]) -> tuple[int, int, int]:
    if one.alone:
        return (0, 0, one.number)
    if _due(policy, one, now):
        return (1, 0, one.number)
    if one.number in scouts:
        return (2, one.weight.bytes, one.number)
    return (3, -one.weight.bytes, one.number)


def _due(policy: Policy, one: Waiting, now: float) -> bool:
    return one.alone or one.passed >= policy.most_passed or now - one.since >= policy.longest_wait


def _passed(one: Waiting, started: Sequence[Waiting]) -> Waiting:
    """Only what does not fit is passed over; who waits for a core merely lets the heavier ones go first."""
    if one.why != "memory" or not started:
        return one
    return replace(one, passed=one.passed + sum(other.number > one.number for other in started))


def _outlook(
    policy: Policy, waiting: Sequence[Waiting], running: Sequence[Running], budget: Budget, now: float
) -> tuple[int, Forecast]:
    """The bytes that the compilers may hold together, and what those that run will hold."""
    ages = [(one.weight, max(0.0, now - one.since)) for one in running] + [(one.weight, 0.0) for one in waiting]
    forecast = Forecast(horizon(ages), policy.deviations, policy.largest, timeless=policy.timeless)
    for one in running:
        forecast.add(one.weight, age=max(0.0, now - one.since), held=one.held, most=one.most)
    return budget.free + sum(one.held for one in running) - budget.reserve, forecast
