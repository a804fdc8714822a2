"""The live view of a terminal: finished stages stand, below them the running one changes in place.

It is drawn on standard error, so that standard output can go elsewhere, and once a second, which costs next to nothing.
The cursor stays visible all the time: whatever ends us, no terminal is left without one.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from trtllm_builder.build.progress import Progress
from trtllm_builder.text import clean
from trtllm_builder.units import format_duration, format_size

_STAGES = ("tools", "fetch", "patch", "inputs", "compile", "normalise", "verify", "record")
_PHASES = ("requirements", "configure", "build", "package")
_NAME = 13
_WIDEST_BAR = 30
_NARROW = 60
_EVERY = 1.0


class LiveView:
    """``console`` is the terminal, standard error when it is not given."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tick, name="live view", daemon=True)
        self._stage = ""
        self._detail = ""
        self._began = time.monotonic()
        self._ended: dict[str, str] = {}
        self._progress: Progress | None = None
        self._entered: dict[str, float] = {}
        self._line = ""
        # It draws as soon as it is made.
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        with suppress(OSError):
            self._live.start()
            self._console.show_cursor(True)
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._clock.join()
        with suppress(OSError):
            self._live.stop()
            if error is not None and self._stage:
                took = format_duration(time.monotonic() - self._began)
                where = told(self._progress) if self._progress and self._stage == "compile" else took
                self._console.print(Text(f"{self._stage:<10} ended at {where}"))

    def _tick(self) -> None:
        # A terminal that has gone away is no reason to end a build.
        with suppress(OSError):
            while not self._over.wait(_EVERY):
                self._live.refresh()

    def run(self, identifier: str, logs: Path) -> None:
        self._say(f"{'run':<16} {identifier}, logs in {logs}")

    def stage(self, name: str, state: str, detail: str) -> None:
        if state == "begun":
            self._stage, self._detail, self._began = name, detail, time.monotonic()
            self._progress, self._line = None, ""
            self._entered = {}
        else:
            self._ended[name] = state
            self._stage = ""
            self._say(f"{name:<10} {state:<5} {detail}".rstrip())
        with suppress(OSError):
            self._live.refresh()

    def progress(self, progress: Progress, line: str | None) -> None:
        self._progress = progress
        self._entered.setdefault(progress.phase, progress.elapsed)
        if line:
            self._line = line

    def note(self, text: str) -> None:
        self._say(f"note: {text}")

    def _say(self, text: str) -> None:
        with suppress(OSError):
            self._console.print(Text(clean(text)), soft_wrap=True)

    def _draw(self) -> Group:
        width = max(10, self._console.width - 1)
        rows = self._rows(width) if self._stage else []
        for row in rows:
            row.no_wrap, row.overflow = True, "ellipsis"
            row.truncate(width, overflow="ellipsis")
        return Group(*rows)

    def _rows(self, width: int) -> list[Text]:
        progress = self._progress
        rows = [self._strip(width)]
        if progress is None:
            took = format_duration(time.monotonic() - self._began)
            return [*rows, Text(f"{self._stage:<{_NAME}}{took}{'  ' + self._detail if self._detail else ''}")]
        rows += [self._phase(phase, progress, width) for phase in _PHASES]
        rows += [Text(row) for row in _resources(progress, width)]
        if progress.phase == "build":
            rows += [Text(f"  {name}  {format_duration(seconds)}", "cyan") for name, seconds in _longest(progress)]
        rows.append(Text(f"  {clean(self._line).strip()}", "dim"))
        return rows

    def _strip(self, width: int) -> Text:
        """All stages in a row; on a narrow terminal the running one and how many are over."""
        over = len([name for name in _STAGES if name in self._ended])
        if width < _NARROW:
            return Text(f"{self._stage}, stage {over + 1} of {len(_STAGES)}", "bold")
        strip = Text()
        for name in _STAGES:
            style = "bold" if name == self._stage else "green" if name in self._ended else "dim"
            strip.append(name, style).append("  ")
        return strip

    def _phase(self, phase: str, progress: Progress, width: int) -> Text:
        at, now = _PHASES.index(phase), _PHASES.index(progress.phase)
        part = 1.0 if at < now else 0.0
        words = ""
        if at < now and phase in self._entered:
            following = next((self._entered[later] for later in _PHASES[at + 1 :] if later in self._entered), None)
            words = format_duration(following - self._entered[phase]) if following is not None else ""
        elif at == now:
            words = format_duration(max(0.0, progress.elapsed - self._entered.get(phase, progress.elapsed)))
        if phase == "build" and progress.total and at <= now:
            part = progress.done / progress.total if at == now else 1.0
            to_go = f"about {format_duration(progress.eta)} to go" if progress.eta is not None and at == now else ""
            # Where there is not room for all, what is to come counts more than what was.
            facts = (words, to_go) if width >= _NARROW or not to_go else (to_go,)
            words = ", ".join(filter(None, (f"{progress.done}/{progress.total}", *facts)))
        row = Text(f"{phase:<{_NAME}}", "bold" if at == now else "dim" if at > now else "")
        room = min(_WIDEST_BAR, width - _NAME - len(words) - 1)
        if width >= _NARROW and room >= 8:
            full, empty = ("━", "─") if self._console.encoding.lower().startswith("utf") else ("#", ".")
            filled = round(part * room)
            row.append(full * filled, "green").append(empty * (room - filled), "dim").append(" ")
        return row.append(words, "" if at <= now else "dim")


def _resources(progress: Progress, width: int) -> list[str]:
    """What the build uses, in as few rows as the width allows."""
    limit = f" of {format_size(progress.memory_limit)}" if progress.memory_limit else ""
    facts = [
        f"memory {format_size(progress.memory)}{limit}",
        f"peak {format_size(progress.peak_memory)}",
        f"disk {format_size(progress.disk_free)} free, {format_size(progress.peak_disk)} taken",
        f"{progress.jobs} job{'s' * (progress.jobs != 1)} on {progress.cpu:.1f} cores",
    ]
    if progress.waiting:
        facts.append(f"{progress.waiting} wait for memory")
    if progress.hits + progress.misses:
        facts.append(f"cache {progress.hits} of {progress.hits + progress.misses} hits")
    rows: list[str] = []
    for fact in facts:
        if rows and len(rows[-1]) + 3 + len(fact) <= width:
            rows[-1] += f" | {fact}"
        else:
            rows.append(f"  {fact}")
    return rows


def _longest(progress: Progress) -> list[tuple[str, float]]:
    """The files that are compiled longest, by their own names."""
    return [(clean(PurePosixPath(output).name.removesuffix(".o")), seconds) for output, seconds in progress.running]


def told(progress: Progress) -> str:
    """Phase, steps and time in a few words."""
    counted = f" {progress.done}/{progress.total}" if progress.phase == "build" and progress.total else ""
    return f"{progress.phase}{counted}, after {format_duration(progress.elapsed)}"
