"""The history as one page that needs nothing else: for each profile its last nights as small plots.

All text comes from builds: Jinja2 escapes it, and a Content-Security-Policy in the page lets no script run.
"""

from __future__ import annotations

import re
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
    """``lines`` are the points of SVG polylines, which end where nights have no value; the newest value is ``last``,
    of an older night than the last when not ``fresh``; the scale goes from 0 to ``top``."""

    title: str
    last: str
    fresh: bool
    top: str
    lines: tuple[str, ...]
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Card:
    """One profile: ``last`` result, the last one with a ``wheel``, all as ``nights``, the plots that have a value."""

    name: str
    last: Result
    wheel: Result | None
    good: int
    nights: tuple[Result, ...]
    plots: tuple[Plot, ...]


_MEASURES: tuple[tuple[str, Callable[[Result], float | None], Callable[[float], str]], ...] = (
    ("duration", lambda one: None if one.result == "lost" else one.seconds, format_duration),
    ("wheel", lambda one: one.size, format_size),
    ("cache hits", lambda one: _share(one), lambda value: f"{value:.0%}"),
    ("peak memory", lambda one: one.peak_memory, format_size),
    ("upstream's drift", lambda one: one.drift, lambda value: f"{value:.0f}"),
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
    good = [one for one in results if one.good]
    known = tuple(plot for plot in plots if plot is not None)
    return Card(name, results[-1], good[-1] if good else None, len(good), tuple(results), known)


def _plot(
    title: str, results: Sequence[Result], value: Callable[[Result], float | None], told: Callable[[float], str]
) -> Plot | None:
    values = [(number, one, value(one)) for number, one in enumerate(results)]
    known = [(number, one, found) for number, one, found in values if found is not None]
    if not known:
        return None
    top = max(found for _, _, found in known)
    step = (_WIDTH - 2 * _ROOM) / max(1, len(results) - 1)
    dots: list[Dot] = []
    lines: list[list[str]] = []
    before = None
    for number, one, found in known:
        # The newest is at the right, however many there are.
        x = round(_WIDTH - _ROOM - (len(results) - 1 - number) * step, 1)
        y = round(_HEIGHT - _ROOM - found / (top or 1) * (_HEIGHT - 2 * _ROOM), 1)
        dots.append(Dot(x, y, one.result, f"{_day(one.started)}: {told(found)}, {one.result}"))
        if before is None or number != before + 1:
            lines.append([])
        lines[-1].append(f"{x},{y}")
        before = number
    drawn = tuple(" ".join(line) for line in lines if len(line) > 1)
    return Plot(title, told(known[-1][2]), before == len(results) - 1, told(top), drawn, tuple(dots))


def _share(one: Result) -> float | None:
    calls = (one.hits or 0) + (one.misses or 0)
    return (one.hits or 0) / calls if calls else None


def _safe(link: str | None) -> str | None:
    """Where a browser may be led: what a build says may be a script."""
    return link if link and re.fullmatch(r"https?://[^\s\"'<>]+", link) else None


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
    environment.filters.update(clean=clean, duration=format_duration, size=format_size, day=_day, safe_link=_safe)
    return environment
