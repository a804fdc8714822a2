"""How much memory compilers will hold in the time to come: what is expected, and how far it may be off.

A compiler holds little at first, its peak for a while, and nothing once it has ended; nvcc climbs three hills. When a
hill comes is known only roughly, and a machine that is slow is so for all: compilers that start together peak together.
So the most that each may hold in a stretch of time is added up, not what it holds on average. How high the peaks are is
off for each by itself: these variances add up, so that many small errors weigh less than one large one. A file that was
never compiled takes one of a handful of equally likely times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, repeat

KNOWN_PACES = (1.0,)
GUESSED_PACES = (0.35, 0.6, 0.85, 1.2, 1.7)
"""Durations as shares of the expected one: of a file that was compiled before, and of one whose kind alone is known."""

_MACHINE_PACES = (0.9, 1.0, 1.15)
"""All compilers together may be so many times slower than they were."""
_APART = 1.05
"""And each so many times slower or faster than the others."""
_SEEN = 0.88
"""The peak is over when so much of it has been seen: looks are half a second apart."""
_STRETCHES = 16
_DELAYS = 8
_SHORTEST = 0.1  # seconds: shorter compiles are taken to last so long

Course = tuple[float, ...]


@dataclass(frozen=True)
class Weight:
    """``bytes`` that a compile is expected to hold at its peak, ``spread`` the standard deviation of that as a share of
    it, and where the figure comes from, for people. ``seconds`` is how long it takes, None where nobody knows;
    ``course`` the share of the peak that it holds at most in each tenth of its time. Where its ``kind`` alone is known
    (else empty), ``measured`` says how many files of that kind the figures rest on."""

    bytes: int
    origin: str
    spread: float = 0.05
    seconds: float | None = None
    course: Course = (1.0,) * 10
    paces: tuple[float, ...] = KNOWN_PACES
    kind: str = ""
    measured: int = 1

    def doubled(self, seen: int) -> Weight:
        """For one that was killed when it held ``seen`` bytes: nothing is known of it any more but that it needs more
        than was thought, and more than that."""
        more = max(2 * self.bytes, seen)
        return replace(self, bytes=more, origin=f"{self.origin}, raised after a kill", seconds=None)


@lru_cache(maxsize=8192)
def _highest(course: Course) -> tuple[Course, ...]:
    """``[first][last]``: the most that is held from one tenth to another, both included."""
    return tuple(tuple(max(course[first : last + 1], default=0.0) for last in range(10)) for first in range(10))


class Forecast:
    """The sum of compilers in a few stretches of time from now on, short ones at first. ``seconds`` is how far to look;
    ``timeless`` looks at no course: everybody is taken to hold the peak for ever."""

    def __init__(self, seconds: float, deviations: float, largest: float, *, timeless: bool) -> None:
        count = 1 if timeless else _STRETCHES
        edges = [max(1.0, seconds) * (index / count) ** 1.2 for index in range(count + 1)]
        paces = (1.0,) if timeless else _MACHINE_PACES
        self._edges = edges[:-1]
        self._windows = [
            (begin / pace / _APART, end / pace * _APART) for pace in paces for begin, end in pairwise(edges)
        ]
        self._mean = [0.0] * len(self._windows)
        self._variance = [0.0] * len(self._windows)
        self._off = 0.0
        self._timeless = timeless
        self._deviations = deviations
        self._largest = largest

    def add(self, weight: Weight, *, age: float = 0.0, held: int = 0, most: int = 0) -> None:
        """One compiler that has been running for ``age`` seconds, holds ``held`` bytes now and held ``most``."""
        peak = self._peak(weight, age, held)
        self._off = max(self._off, weight.spread * (peak - held / 2))
        variance = (weight.spread * peak) ** 2 if held < peak else 0.0
        soon = (weight.seconds or 0.0) / 20
        for index, (mean, square) in enumerate(self._shares(weight, age, most)):
            self._variance[index] += (square - mean * mean) * peak * peak + square * variance
            self._mean[index] += max(mean * peak, held) if self._windows[index][0] <= soon else mean * peak

    def _peak(self, weight: Weight, age: float, held: int) -> float:
        """Does it hold more than any of its futures has by now? Then its peak will be higher, too."""
        peak = float(max(weight.bytes, held))
        if self._timeless or not weight.seconds:
            return peak
        elapsed = age / max(_SHORTEST, weight.seconds)
        if not 0.1 < elapsed < weight.paces[-1]:
            return peak
        tenth = min(9, int(11 * elapsed / weight.paces[0]))
        expected = weight.bytes * _highest(weight.course)[0][tenth]
        return max(peak, weight.bytes * min(1.5, held / expected if expected else 1.5))

    def _shares(self, weight: Weight, age: float, most: int) -> Iterator[tuple[float, float]]:
        """Mean and mean square of the share of the peak that is held at most in each stretch."""
        if self._timeless or not weight.seconds:
            yield from repeat((1.0, 1.0), len(self._windows))
            return
        seconds, paces = max(_SHORTEST, weight.seconds), weight.paces
        if not weight.kind:
            # Where it is on its course is told by its peak better than by the clock.
            highest = weight.course.index(max(weight.course)) / 10
            elapsed = age / seconds
            elapsed = max(elapsed, highest + 0.1) if most >= _SEEN * weight.bytes else min(elapsed, highest)
            age = min(elapsed, 0.95) * seconds
        else:
            paces = tuple(pace for pace in paces if pace * seconds > age)
            if not paces:
                yield from repeat((1.0, 1.0), len(self._windows))
                return
        table = _highest(weight.course)
        scales = [10 / (seconds * pace) for pace in paces]
        count = len(scales)
        slowest = min(scales)
        for first, last in self._windows:
            total = squares = 0.0
            if (age + first) * slowest >= 10:
                # Most stretches are those in which only the longest compilers are still at work.
                yield total, squares
                continue
            for scale in scales:
                begin, end = int((age + first) * scale), (age + last) * scale
                if begin < 10 and end > 0:
                    # The innermost of all: calls of max and min took a third of the gate's time.
                    share = table[begin if begin > 0 else 0][int(end) if end < 10 else 9]
                    total += share
                    squares += share * share
            yield total / count, squares / count

    def need(self) -> int:
        """Bytes that will not be exceeded at any time: ``deviations`` standard deviations above what is expected, and
        ``largest`` times the deviation of the one compiler that may be off by most."""
        most = max(m + self._deviations * math.sqrt(v) for m, v in zip(self._mean, self._variance, strict=True))
        return round(most + self._largest * self._off)

    def delay(self, weight: Weight, room: int) -> float | None:
        """Seconds from now after which it may start, of a few that are tried; None when none of them will do."""
        edges = self._edges[:: max(1, len(self._edges) // _DELAYS)] if weight.seconds and not self._timeless else (0.0,)
        return next((edge for edge in edges if self.fits(weight, room, edge)), None)

    def fits(self, weight: Weight, room: int, delay: float = 0.0) -> bool:
        """Whether ``need`` would stay within ``room`` bytes with one more that starts after ``delay`` seconds."""
        peak = weight.bytes
        left = room - self._largest * max(self._off, weight.spread * peak)
        spread = (weight.spread * peak) ** 2
        for index, (mean, square) in enumerate(self._shares(weight, -delay, 0)):
            variance = self._variance[index] + (square - mean * mean) * peak * peak + square * spread
            if self._mean[index] + mean * peak + self._deviations * math.sqrt(variance) > left:
                return False
        return True


def horizon(weights: Sequence[tuple[Weight, float]]) -> float:
    """Seconds until the last of these, each with its age, will have ended."""
    return max((1.3 * (weight.seconds or 0.0) - age for weight, age in weights), default=0.0)
