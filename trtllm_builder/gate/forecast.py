"""How much memory compilers will hold in the time to come: what is expected, and how far it may be off.

A compiler holds little at first, its peak for a while, and nothing once it has ended. How long it takes is known only
roughly, so each compile is a handful of equally likely futures, one for each of its paces. Expectations add up; so do
variances, since compilers do not know of each other. Many small errors therefore weigh less than one large one, which
is why 64 compilers need no more caution than 6 do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

KNOWN_PACES = (0.8, 0.9, 1.0, 1.12, 1.3)
GUESSED_PACES = (0.35, 0.6, 0.85, 1.2, 1.7)
"""Durations as shares of the expected one: of a file that was compiled before, and of one whose kind alone is known."""

_STEPS = 40  # a compile is looked at in steps of a twentieth of its expected seconds, up to twice these
_MOST_TIMES = 14
_FIRST_TIME = 3.0  # seconds from now
_SHORTEST = 0.1  # seconds: shorter compiles are taken to last so long


@dataclass(frozen=True)
class Weight:
    """``bytes`` that a compile is expected to hold at its peak, ``spread`` the standard deviation of that as a share of
    it, and where the figure comes from, for people. ``seconds`` is how long it takes, None where nobody knows;
    ``course`` the share of the peak that it holds at most in each tenth of its time."""

    bytes: int
    origin: str
    spread: float = 0.08
    seconds: float | None = None
    course: tuple[float, ...] = (1.0,) * 10
    paces: tuple[float, ...] = KNOWN_PACES

    def doubled(self) -> Weight:
        """For one that was killed: nothing is known of it any more but that it needs more than was thought."""
        return replace(self, bytes=2 * self.bytes, origin=f"{self.origin}, doubled after a kill", seconds=None)


@lru_cache(maxsize=8192)
def _futures(course: tuple[float, ...], paces: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Mean and mean square of the share of the peak that is held, for each step since the start."""
    found = []
    for step in range(_STEPS):
        shares = [course[int(10 * at)] if (at := (step + 0.5) / 20 / pace) < 1 else 0.0 for pace in paces]
        found.append((sum(shares) / len(paces), sum(share * share for share in shares) / len(paces)))
    return tuple(found)


class Forecast:
    """The sum of compilers at a few moments from now on, close together at first. ``seconds`` is how far to look;
    ``timeless`` looks at no course: everybody is taken to hold the peak for ever."""

    def __init__(self, seconds: float, deviations: float, largest: float, *, timeless: bool) -> None:
        count = 1 if timeless else _MOST_TIMES
        ratio = max(1.0, seconds / _FIRST_TIME) ** (1 / (_MOST_TIMES - 1))
        self._times = [_FIRST_TIME * ratio**index for index in range(count)]
        self._mean = [0.0] * count
        self._variance = [0.0] * count
        self._off = 0.0
        self._timeless = timeless
        self._deviations = deviations
        self._largest = largest

    def add(self, weight: Weight, *, age: float = 0.0, held: int = 0) -> None:
        """One compiler that has been running for ``age`` seconds and holds ``held`` bytes now."""
        peak, start, futures = self._course(weight, age, held)
        variance = (weight.spread * peak) ** 2
        self._off = max(self._off, weight.spread * (peak - held / 2))
        if futures is None or weight.seconds is None:
            for index in range(len(self._times)):
                self._mean[index] += peak
                self._variance[index] += variance if held < peak else 0.0
            return
        scale = 20 / max(_SHORTEST, weight.seconds)
        soon = 1 / scale
        for index, time in enumerate(self._times):
            step = int((start + time) * scale)
            if step >= _STEPS:
                break
            mean, square = futures[step]
            self._variance[index] += (square - mean * mean) * peak * peak + square * variance
            self._mean[index] += max(mean * peak, held) if time < soon else mean * peak

    def _course(
        self, weight: Weight, age: float, held: int
    ) -> tuple[float, float, tuple[tuple[float, float], ...] | None]:
        """Its peak by what is seen of it, its age, and its futures; without these it holds its peak for ever."""
        peak = float(max(weight.bytes, held))
        if self._timeless or not weight.seconds:
            return peak, age, None
        elapsed = age / max(_SHORTEST, weight.seconds)
        paces = tuple(pace for pace in weight.paces if pace > elapsed)
        if not paces:
            return peak, age, None
        if elapsed > 0.1:
            # Does it hold more than any of its futures has by now? Then its peak will be higher, too.
            expected = weight.bytes * max(max(weight.course[: int(10 * elapsed / pace) + 1]) for pace in paces)
            peak = max(peak, weight.bytes * min(1.5, held / expected if expected else 1.5))
        return peak, age, _futures(weight.course, paces)

    def need(self) -> int:
        """Bytes that will not be exceeded at any of the moments: ``deviations`` standard deviations above what is
        expected, and ``largest`` times the deviation of the one compiler that may be off by most."""
        most = max(m + self._deviations * math.sqrt(v) for m, v in zip(self._mean, self._variance, strict=True))
        return round(most + self._largest * self._off)

    def fits(self, weight: Weight, room: int) -> bool:
        """Whether ``need`` would stay within ``room`` bytes with one more that starts now."""
        peak = weight.bytes
        left = room - self._largest * max(self._off, weight.spread * peak)
        spread = (weight.spread * peak) ** 2
        if self._timeless or not weight.seconds:
            futures, scale = ((1.0, 1.0),) * _STEPS, 0.0
        else:
            futures, scale = _futures(weight.course, weight.paces), 20 / max(_SHORTEST, weight.seconds)
        for index, time in enumerate(self._times):
            step = int(time * scale)
            mean, square = futures[step] if step < _STEPS else (0.0, 0.0)
            variance = self._variance[index] + (square - mean * mean) * peak * peak + square * spread
            if self._mean[index] + mean * peak + self._deviations * math.sqrt(variance) > left:
                return False
        return True


def horizon(weights: Sequence[tuple[Weight, float]]) -> float:
    """Seconds until the last of these, each with its age, will have ended."""
    return max((1.3 * (weight.seconds or 0.0) - age for weight, age in weights), default=0.0)
