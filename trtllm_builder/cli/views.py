"""Three ways to watch a build: plain lines, a live line on a terminal, JSON lines."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from trtllm_builder.build.progress import Progress
from trtllm_builder.cli.output import say
from trtllm_builder.units import format_duration

_PLAIN_EVERY = 30.0


def describe(progress: Progress) -> str:
    """Phase, steps, time taken and time to go in a few words."""
    counted = f" [{progress.done}/{progress.total}]" if progress.phase == "build" and progress.total else ""
    eta = f", about {format_duration(progress.eta)} to go" if progress.eta is not None else ""
    return f"{progress.phase}{counted}, {format_duration(progress.elapsed)}{eta}"


class PlainView:
    """A line a stage, and while upstream builds a line at each change of phase, each tenth, and every half minute."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)
        self._said = 0.0

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def run(self, identifier: str, logs: Path) -> None:
        say(f"{'run':<16} {identifier}, logs in {logs}")

    def stage(self, name: str, state: str, detail: str) -> None:
        if state != "begun":
            say(f"{name:<10} {state:<5} {detail}".rstrip())
        elif name == "compile":
            say(f"{name:<10} ...   {detail}".rstrip())

    def progress(self, progress: Progress, line: str | None) -> None:
        tenth = progress.done * 10 // progress.total if progress.total else 0
        now = time.monotonic()
        if (progress.phase, tenth) != self._last or now - self._said >= _PLAIN_EVERY:
            self._last, self._said = (progress.phase, tenth), now
            say(f"{'':<16} {describe(progress)}")

    def note(self, text: str) -> None:
        say(f"note: {text}")


class LiveView:
    """On a terminal: finished stages stand, the running one is a line that changes in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._stage = ""
        self._line = ""
        self._began = time.monotonic()

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.__exit__(kind, error, at)

    def run(self, identifier: str, logs: Path) -> None:
        self._console.print(self._text(f"{'run':<16} {identifier}, logs in {logs}"))

    def stage(self, name: str, state: str, detail: str) -> None:
        if state == "begun":
            self._stage, self._line, self._began = name, "", time.monotonic()
            self._show(detail)
        else:
            self._console.print(self._text(f"{name:<10} {state:<5} {detail}".rstrip()))
            self._live.update(self._text(""))

    def progress(self, progress: Progress, line: str | None) -> None:
        if line:
            self._line = line
        self._show(describe(progress))

    def note(self, text: str) -> None:
        self._console.print(self._text(f"note: {text}"))

    def _show(self, detail: str) -> None:
        width = self._console.width
        head = f"{self._stage:<10} ...   {detail}"
        self._live.update(self._text("\n".join(row[: width - 1] for row in (head, self._line) if row)))


class JsonView:
    """One JSON object a line: ``event`` is stage, progress or note; the result follows as the last line."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", -1)

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def _say(self, **facts: Any) -> None:
        say(json.dumps({"schema": 1, **facts}))

    def run(self, identifier: str, logs: Path) -> None:
        self._say(event="run", id=identifier, logs=str(logs))

    def stage(self, name: str, state: str, detail: str) -> None:
        self._say(event="stage", stage=name, state=state, detail=detail)

    def progress(self, progress: Progress, line: str | None) -> None:
        if (progress.phase, progress.done) != self._last:
            self._last = (progress.phase, progress.done)
            self._say(
                event="progress",
                phase=progress.phase,
                done=progress.done,
                total=progress.total,
                elapsed=round(progress.elapsed, 1),
                eta=None if progress.eta is None else round(progress.eta, 1),
            )

    def note(self, text: str) -> None:
        self._say(event="note", text=text)


def choose_view(as_json: bool) -> PlainView | LiveView | JsonView:
    """JSON when asked for, a live view on a terminal that can move its cursor, else plain lines."""
    import os

    if as_json:
        return JsonView()
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return LiveView()
    return PlainView()
