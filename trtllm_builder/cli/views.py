"""Ways to watch a build without a terminal: plain lines and JSON lines; and which way is the right one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trtllm_builder.build.progress import Progress
from trtllm_builder.cli.output import say
from trtllm_builder.units import format_duration, format_size

if TYPE_CHECKING:
    from trtllm_builder.cli.live import LiveView

# A line every half minute at first, every two minutes later: there are places that end what is silent for ten.
_OFTEN, _SELDOM = 30.0, 120.0
_AT_FIRST = 600.0


def describe(progress: Progress) -> str:
    """Phase, steps, time taken and time to go in a few words."""
    counted = f" [{progress.done}/{progress.total}]" if progress.phase == "build" and progress.total else ""
    eta = f", about {format_duration(progress.eta)} to go" if progress.eta is not None else ""
    return f"{progress.phase}{counted}, {format_duration(progress.elapsed)}{eta}"


def _used(progress: Progress) -> str:
    """What the build uses, in a few words; nothing before it was looked at."""
    if not progress.memory:
        return ""
    calls = progress.hits + progress.misses
    hits = f", {progress.hits} of {calls} from the cache" if calls else ""
    waits = f", {progress.waiting} wait for memory" if progress.waiting else ""
    return f"; memory {format_size(progress.memory)}{waits}, disk {format_size(progress.disk_free)} free{hits}"


class PlainView:
    """A line a stage, and while upstream builds a line at each change of phase and from time to time."""

    def __init__(self) -> None:
        self._phase = ""
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
        now = time.monotonic()
        every = _OFTEN if progress.elapsed < _AT_FIRST else _SELDOM
        if progress.phase != self._phase or now - self._said >= every:
            self._phase, self._said = progress.phase, now
            say(f"{'':<16} {describe(progress)}{_used(progress)}")

    def note(self, text: str) -> None:
        say(f"note: {text}")


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
                waiting=progress.waiting,
                eta=None if progress.eta is None else round(progress.eta, 1),
                memory=progress.memory,
                disk_free=progress.disk_free,
                cache={"hits": progress.hits, "misses": progress.misses},
            )

    def note(self, text: str) -> None:
        self._say(event="note", text=text)


def choose_view(as_json: bool) -> PlainView | LiveView | JsonView:
    """JSON when asked for, a live view on a terminal that can move its cursor, else plain lines."""
    import os

    if as_json:
        return JsonView()
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from trtllm_builder.cli.live import LiveView

        return LiveView()
    return PlainView()
