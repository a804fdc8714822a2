"""The curves of a timeline: memory, processors, jobs, disk and cache hits over the run, as paths of a drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from trtllm_builder.build.timeline import Timeline
from trtllm_builder.units import format_size

HEIGHT = 80
# More would not be seen.
_MOST_POINTS = 600
_MOST_TIPS = 150


@dataclass(frozen=True)
class Tip:
    """An invisible strip that says the value there."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class Curve:
    """``path`` is the filled area, ``most`` the largest value, ``limit`` the height of a line to keep below
    and ``limit_text`` what it is; ``bound`` is such a line that changes."""

    title: str
    most: str
    path: str
    tips: tuple[Tip, ...]
    limit: float | None = None
    limit_text: str = ""
    bound: str = ""


def curves(timeline: Timeline, width: int) -> list[Curve]:
    """Those of which something is known, each ``width`` wide and HEIGHT high."""
    points = timeline.points
    if len(points) < 2:
        return []
    draw = _Drawing([point.at for point in points], timeline.breaks, timeline.seconds, width)
    # The limit is only drawn where it is near: far above, it would press the curve flat.
    near = timeline.peak_memory <= timeline.memory_limit <= 2 * timeline.peak_memory
    memory = draw.curve("memory", [p.memory for p in points], format_size, timeline.memory_limit if near else None)
    if timeline.memory_limit:
        what = f"limit {format_size(timeline.memory_limit)} ({timeline.memory_limit_source})"
        memory = replace(memory, limit_text=what)
    found = [
        memory,
        draw.curve("cores busy", [p.cpu for p in points], lambda value: f"{value:.1f} cores"),
        draw.curve("jobs", [p.jobs for p in points], lambda value: f"{value:.0f} jobs"),
        draw.curve("disk taken", [p.disk_taken for p in points], format_size),
    ]
    if any(point.calls for point in points):
        shares = [point.hits / point.calls * 100 if point.calls else 0.0 for point in points]
        found.append(draw.curve("cache hits so far", shares, lambda value: f"{value:.0f} %"))
    return [*found, *_gate_curves(timeline, width)]


def _gate_curves(timeline: Timeline, width: int) -> list[Curve]:
    points = timeline.gate.points
    if len(points) < 2:
        return []
    draw = _Drawing([point.at for point in points], timeline.breaks, timeline.seconds, width)
    # Of plenty only so much is drawn that what is used can still be seen.
    most = max(max(point.held, point.promised) for point in points)
    budget = [min(point.may, 2 * most) for point in points]
    found = [
        draw.curve("compilers hold", [point.held for point in points], format_size, bound=budget),
        draw.curve("promised to them", [point.promised for point in points], format_size, bound=budget),
    ]
    if any(point.waiting for point in points):
        found.append(draw.curve("waiting", [p.waiting for p in points], lambda value: f"{value:.0f} compilers"))
    return found


class _Drawing:
    def __init__(self, moments: Sequence[float], breaks: Sequence[float], seconds: float, width: int) -> None:
        self._moments = moments
        self._breaks = breaks
        self._scale = width / max(seconds, 1e-3)

    def curve(
        self,
        title: str,
        values: Sequence[float],
        show: Callable[[float], str],
        limit: float | None = None,
        bound: Sequence[float] = (),
    ) -> Curve:
        top = max(*values, *bound, limit or 0, 1e-9)
        count = len(values)
        every = max(1, count // _MOST_POINTS)
        # Of each group the largest: a peak must not fall between two points.
        groups = [range(start, min(start + every, count)) for start in range(0, count, every)]
        drawn = [(self._moments[group[0]] * self._scale, max(values[i] for i in group)) for group in groups]
        parts = [f"M{drawn[0][0]:.2f} {HEIGHT}"]
        for (x, value), (following, _) in pairwise([*drawn, drawn[-1]]):
            y = HEIGHT - value / top * HEIGHT
            parts.append(f"L{x:.2f} {y:.2f}")
            if any(x < moment * self._scale <= following for moment in self._breaks):
                parts.append(f"V{HEIGHT}H{following:.2f}")
        parts.append(f"V{HEIGHT}Z")
        step = max(1, count // _MOST_TIPS)
        edges = [*range(0, count, step), count - 1]
        tips = tuple(
            Tip(
                round(self._moments[a] * self._scale, 2),
                round((self._moments[b] - self._moments[a]) * self._scale, 2),
                f"{title}: {show(max(values[a : b + 1]))}",
            )
            for a, b in pairwise(edges)
            if b > a
        )
        height = None if limit is None else round(HEIGHT - limit / top * HEIGHT, 2)
        line = " ".join(
            f"{self._moments[at] * self._scale:.2f},{HEIGHT - bound[at] / top * HEIGHT:.2f}"
            for at in range(0, len(bound), every)
        )
        text = "the line: what they may hold" if line else ""
        return Curve(title, show(max(values)), "".join(parts), tips, height, text, line)
