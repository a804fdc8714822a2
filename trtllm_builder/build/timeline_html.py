"""A timeline as one page that needs nothing else: no font, no picture and no script from elsewhere.

Names of files come from upstream: Jinja2 escapes them, control characters and direction overrides are taken out, and
a Content-Security-Policy in the page itself lets nothing but its own script run, by its hash. Without the script
all is there but the zoom.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trtllm_builder import __version__
from trtllm_builder.build.timeline import Placed, Span, Timeline
from trtllm_builder.build.timeline_curves import HEIGHT, curves
from trtllm_builder.text import clean
from trtllm_builder.units import format_duration, format_size

# Drawings are so many units wide, whatever the page is.
_WIDTH = 1000
_SLOWEST = 25
_KINDS = ("heavy", "cuda", "bindings", "compiled", "linked", "other", "hit")


@dataclass(frozen=True)
class Box:
    """A rectangle in a drawing, and what it says of itself."""

    x: str
    width: str
    y: float
    kind: str
    tip: str


def timeline_page(timeline: Timeline) -> str:
    """The page; write it as UTF-8 with ``errors="replace"``."""
    hits, calls = timeline.hits
    largest = timeline.gate.largest[:_SLOWEST]
    most = max([1, *(size for job in largest for size in (job.peak, job.predicted))])
    height = max(4.0, min(18.0, 420.0 / max(1, timeline.lanes)))
    script = Path(__file__).with_name("timeline.js").read_text("utf-8")
    return (
        _environment()
        .get_template("timeline.html.jinja")
        .render(
            timeline=timeline,
            builder=__version__,
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            width=_WIDTH,
            ticks=_ticks(timeline.seconds),
            spans=[_boxes(timeline, spans) for spans in (timeline.stages, timeline.phases)],
            breaks=[_x(timeline, moment) for moment in timeline.breaks],
            steps=[_step(timeline, step, height) for step in timeline.steps],
            lane_height=height,
            kinds=[kind for kind in _KINDS if any(_kind(step) == kind for step in timeline.steps)],
            curves=curves(timeline, _WIDTH),
            curve_height=HEIGHT,
            slowest=timeline.slowest[:_SLOWEST],
            longest=timeline.slowest[0].seconds if timeline.steps else 1.0,
            largest=largest,
            share=lambda size: round(min(100.0, size / most * 99), 1),
            waited=timeline.gate.waited,
            hits=hits,
            calls=calls,
            kind=_kind,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, duration=format_duration, size=format_size)
    return environment


def _kind(step: Placed) -> str:
    return "hit" if step.hit else step.kind


def _x(timeline: Timeline, moment: float) -> str:
    return f"{moment / max(timeline.seconds, 1e-3) * _WIDTH:.2f}"


def _boxes(timeline: Timeline, spans: Sequence[Span]) -> list[Box]:
    return [
        Box(
            _x(timeline, span.start),
            _x(timeline, span.seconds),
            0.0,
            span.state,
            f"{span.name}: {format_duration(span.seconds)}"
            + {"done": "", "unfinished": " so far"}.get(span.state, f", {span.state}"),
        )
        for span in spans
    ]


def _step(timeline: Timeline, step: Placed, height: float) -> Box:
    told = f"{clean(step.output)}\n{format_duration(step.seconds)}{', from the cache' if step.hit else ''}"
    if step.waited >= 0.1:
        told += f", after {format_duration(step.waited)} of waiting at the gate"
    return Box(_x(timeline, step.start), _x(timeline, step.seconds), round(step.lane * height, 2), _kind(step), told)


def _ticks(seconds: float) -> list[tuple[float, str]]:
    """Places in percent and what they are called: about eight round durations."""
    steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200]
    step = next((one for one in steps if seconds / one <= 9), max(1.0, seconds / 8))
    return [
        (round(at * step / max(seconds, 1e-3) * 100, 3), _short(at * step))
        for at in range(math.floor(seconds / step) + 1)
    ]


def _short(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    rest = round(seconds) % 60
    if not hours:
        return f"{int(seconds // 60)} min {rest:02d} s" if rest else f"{minutes} min"
    return f"{hours} h {minutes:02d} min"
