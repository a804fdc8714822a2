"""A report as one page that needs nothing else: no script, no font, no picture from elsewhere.

Everything that comes from the wheel is escaped by Jinja2 and rid of control characters and direction overrides; a
Content-Security-Policy in the page itself forbids what would get past that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trtllm_builder import __version__
from trtllm_builder.text import clean
from trtllm_builder.units import format_duration, format_size
from trtllm_builder.verify.checks import Check, Level, visible
from trtllm_builder.verify.matrix import matrix

if TYPE_CHECKING:
    from trtllm_builder.verify.report import Report

_MOST = 200  # pieces of evidence, libraries or names in one list; the JSON document has all
_T = TypeVar("_T")
_LEVELS: tuple[tuple[Level, str], ...] = (
    ("fail", "Failed"),
    ("warn", "Warnings"),
    ("info", "To know"),
    ("ok", "Passed"),
    ("skipped", "Not asked, or not answered"),
)


@dataclass(frozen=True)
class Bar:
    """``share`` of the whole in percent."""

    name: str
    size: str
    share: float
    note: str = ""


def html_page(report: Report) -> str:
    """The page as text; write it as UTF-8 with ``errors="replace"``, since names of files may be no Unicode."""
    groups = [(level, title, [c for c in report.checks if c.level == level]) for level, title in _LEVELS]
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            builder=__version__,
            matrix=matrix(report.libraries),
            groups=[(level, title, _by_severity(checks)) for level, title, checks in groups if checks],
            contents=_contents(report),
            members=_members(report),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": format_size,
        "duration": format_duration,
        "most": _most,
        "left_out": _left_out,
        "visible": visible,
    }
    return environment


def _shown(value: object) -> object:
    # What is markup already was made by the template, from values that came through here.
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _most(items: Sequence[_T]) -> Sequence[_T]:
    return items[:_MOST]


def _left_out(items: Sequence[object]) -> int:
    return max(0, len(items) - _MOST)


def _by_severity(checks: Sequence[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: ("error", "warning", "info").index(check.severity))


def _contents(report: Report) -> list[Bar]:
    held = report.contents
    parts = (
        ("GPU code", held.gpu),
        ("libraries, without it", held.host),
        ("Python", held.python),
        ("other", held.other),
    )
    total = sum(size for _, size in parts) or 1
    return [Bar(name, format_size(size), round(100 * size / total, 2)) for name, size in parts if size]


def _members(report: Report) -> list[Bar]:
    largest = report.largest()
    most = max((member.packed for member in largest), default=0) or 1
    return [
        Bar(
            member.name,
            format_size(member.packed),
            round(100 * member.packed / most, 2),
            f"{format_size(member.size)} unpacked",
        )
        for member in largest
    ]
