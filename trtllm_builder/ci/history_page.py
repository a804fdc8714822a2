"""The history as one page that needs nothing else: for each profile its last nights as small plots.

All text comes from builds: Jinja2 escapes it, and a Content-Security-Policy in the page lets no script run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trtllm_builder import __version__
from trtllm_builder.ci.history import History
from trtllm_builder.ci.result import Result
from trtllm_builder.text import clean
from trtllm_builder.units import format_duration, format_size

# A plot is so many units wide and high, whatever the page is.
_WIDTH, _HEIGHT = 240, 48
_ROOM = 6


@dataclass(frozen=True)
class Dot:
    """A night in a plot: where it is and what it says of itself."""

    x: float
    y: float
    result: str
    tip: str


@dataclass(frozen=True)
class Plot:
    """``line`` are the points of an SVG polyline; the newest value is ``last``, the scale goes from 0 to ``top``."""

    title: str
    last: str
    top: str
    line: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Card:
    """One profile: ``last`` result, all of them as ``nights``, and the plots that have any value."""

    name: str
    last: Result
    good: int
    nights: tuple[Result, ...]
    plots: tuple[Plot, ...]


_MEASURES: tuple[tuple[str, Callable[[Result], float | None], Callable[[float], str]], ...] = (
    ("duration", lambda one: one.seconds, format_duration),
    ("wheel", lambda one: one.size, format_size),
    ("cache hits", lambda one: _share(one), lambda value: f"{value:.0%}"),
    ("peak memory", lambda one: one.peak_memory, format_size),
    ("drift of upstream's main", lambda one: one.drift, lambda value: f"{value:.0f}"),
)


def history_page(history: History) -> str:
    """The page; write it as UTF-8 with ``errors="replace"``."""
    cards = [_card(name, results) for name, results in history.profiles().items()]
    template = _environment().get_template("history.html.jinja")
    return template.render(
        cards=cards, damaged=history.damaged, builder=__version__, width=_WIDTH, height=_HEIGHT, made=_day(time.time())
    )


def _card(name: str, results: Sequence[Result]) -> Card:
    plots = [_plot(title, results, value, told) for title, value, told in _MEASURES]
    good = sum(one.good for one in results)
    return Card(name, results[-1], good, tuple(results), tuple(plot for plot in plots if plot is not None))


def _plot(
    title: str, results: Sequence[Result], value: Callable[[Result], float | None], told: Callable[[float], str]
) -> Plot | None:
    values = [(number, one, value(one)) for number, one in enumerate(results)]
    known = [(number, one, found) for number, one, found in values if found is not None]
    if not known:
        return None
    top = max(found for _, _, found in known)
    step = (_WIDTH - 2 * _ROOM) / max(1, len(results) - 1)
    dots = tuple(
        Dot(
            round(_ROOM + number * step, 1),
            round(_HEIGHT - _ROOM - found / (top or 1) * (_HEIGHT - 2 * _ROOM), 1),
            one.result,
            f"{_day(one.started)}: {told(found)}, {one.result}",
        )
        for number, one, found in known
    )
    line = " ".join(f"{dot.x},{dot.y}" for dot in dots)
    return Plot(title, told(known[-1][2]), told(top), line, dots)


def _share(one: Result) -> float | None:
    calls = (one.hits or 0) + (one.misses or 0)
    return (one.hits or 0) / calls if calls else None


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, duration=format_duration, size=format_size, day=_day)
    return environment
