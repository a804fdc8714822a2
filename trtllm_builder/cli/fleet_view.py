"""Ways to watch a fleet: a table that changes, plain lines, JSON lines."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from trtllm_builder.cli.output import say
from trtllm_builder.errors import BuildError
from trtllm_builder.text import clean, redact
from trtllm_builder.units import format_duration, format_size

if TYPE_CHECKING:
    from rich.table import Table

    from trtllm_builder.ci.fleet import Fleet
    from trtllm_builder.ci.seen import Seen

_HEAD = ("PROFILE", "STATE", "JOB", "NODE", "TOOK", "WHAT")
# Columns of a terminal from which on the live table also has jobs and nodes.
_WIDE = 100


def row(one: Seen) -> tuple[str, ...]:
    """One member as a row; texts of a build are cleaned."""
    state = one.result.result if one.phase == "over" and one.result is not None else one.phase
    what = one.doing
    if one.phase == "over" and one.result is not None:
        what = _told(one)
    told = (one.profile, state, one.job or "-", one.node or "-", format_duration(one.seconds), what)
    return tuple(redact(clean(text)) for text in told)


def table(fleet: Fleet, seen: Sequence[Seen]) -> list[str]:
    """All members, and what can be done next."""
    rows = [_HEAD, *map(row, seen)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows
    ]
    over = [one for one in seen if one.phase == "over"]
    if len(over) < len(seen):
        lines.append(f"trtllm-build fleet attach {fleet.identifier} follows it, cancel {fleet.identifier} ends it")
    elif exit_code(seen):
        lines.append(f"trtllm-build fleet resume {fleet.identifier} goes on with those that have no wheel")
    if any(one.job for one in over):
        lines.append(f"reports  {fleet.reports}/PROFILE; trtllm-build summary {fleet.reports} shows them together")
    return lines


def exit_code(seen: Sequence[Seen]) -> int:
    """0 when every member has a wheel."""
    return 0 if all(one.result is not None and one.result.good for one in seen) else BuildError.exit_code


class PlainView:
    """A line whenever a member changes."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def show(self, fleet: Fleet, seen: Sequence[Seen]) -> None:
        for one in seen:
            # Each step of a compilation would be a line.
            doing = one.doing.partition(" [")[0].partition(",")[0]
            key = (one.phase, one.job or "", doing)
            if self._last.get(one.profile) != key:
                self._last[one.profile] = key
                self._tell(one)

    def _tell(self, one: Seen) -> None:
        name, state, job, node, _, what = row(one)
        say(f"{name:<20} {state:<11} job {job} on {node}: {what}" if node != "-" else f"{name:<20} {state:<11} {what}")

    def note(self, text: str) -> None:
        say(f"note: {redact(clean(text))}")


class JsonView(PlainView):
    """The same as JSON lines."""

    def _tell(self, one: Seen) -> None:
        say(json.dumps({"schema": 1, "event": "job", **one.to_json()}))

    def note(self, text: str) -> None:
        say(json.dumps({"schema": 1, "event": "note", "text": redact(clean(text))}))


class LiveTable:
    """A table in place, a line a member; what does not fit there (notes, and why a member failed) scrolls above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._told: set[str] = set()

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, fleet: Fleet, seen: Sequence[Seen]) -> None:
        for one in seen:
            if one.phase == "over" and not (one.result is not None and one.result.good):
                name, state, *_, what = row(one)
                self._tell_once(f"{name}: {state}: {what}")
        self._live.update(drawn(fleet, seen, self._console.width))

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.note(text)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(f"note: {redact(clean(text))}"))


_STYLES = {
    "built": "green",
    "reused": "green",
    "failed": "red",
    "died": "red",
    "interrupted": "yellow",
    "running": "cyan",
}


def drawn(fleet: Fleet, seen: Sequence[Seen], width: int) -> Table:
    """A line a member, whatever it has to say, on a terminal of that many columns."""
    from rich.table import Table
    from rich.text import Text

    rows = [dict(zip(_HEAD, row(one), strict=True)) for one in seen]
    counts = ", ".join(f"{count} {state}" for state, count in Counter(cells["STATE"] for cells in rows).items())
    made = Table(box=None, expand=True, pad_edge=False, title_style="bold", caption_style="dim")
    made.title, made.title_justify = f"fleet {fleet.identifier} on {fleet.kind}: {counts}", "left"
    made.caption, made.caption_justify = "Ctrl-C stops following; the jobs go on", "left"
    names = [name for name in _HEAD if width >= _WIDE or name not in ("JOB", "NODE")]
    for name in names:
        rest = name == "WHAT"
        made.add_column(name.lower(), no_wrap=True, max_width=None if rest else 20, ratio=1 if rest else None)
    for cells in rows:
        cells["NODE"] = cells["NODE"].partition(".")[0]
        cells["WHAT"] = cells["WHAT"].removeprefix("compile: ")
        style = _STYLES.get(cells["STATE"], "")
        made.add_row(*(Text(cells[name], style if name == "STATE" else "") for name in names))
    return made


def choose_view(as_json: bool) -> PlainView | LiveTable:
    """JSON when asked for, a table on a terminal that can move its cursor, else plain lines."""
    if as_json:
        return JsonView()
    if sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        return LiveTable()
    return PlainView()


def _told(one: Seen) -> str:
    result = one.result
    if result is None:
        return one.doing
    if not result.good:
        return result.fault or one.doing
    calls = (result.hits or 0) + (result.misses or 0)
    hits = f", {result.hits or 0} of {calls} from the cache" if calls else ""
    return f"{format_size(result.size or 0)}{hits}, {result.wheel}"
