"""The log files of a run: which there are, their last lines, and what is added to them while it runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.events import Tail
from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.state import Watched
from trtllm_builder.errors import UsageError

_ORDER = ("tools", "fetch", "compile", "verify")
# What a run left to itself prints: the same once more.
_CONSOLE = "console"
_BLOCK = 64 * 1024
_POLL = 0.25


@dataclass(frozen=True)
class LogLine:
    """``log`` is the name of the file without its suffix: a stage, or ``console``."""

    log: str
    text: str


def log_files(entry: RunEntry, stage: str | None = None) -> tuple[Path, ...]:
    """The logs of the stages in their order, or the one of that name. Raises UsageError when there is no such log."""
    there = {path.stem: path for path in sorted(entry.logs.glob("*.log")) if path.is_file()}
    if stage is None:
        names = [*(name for name in _ORDER if name in there), *(name for name in there if name not in _ORDER)]
        return tuple(there[name] for name in names if name != _CONSOLE)
    if stage not in there:
        raise UsageError(
            f"run {entry.identifier} has no log of {stage!r}",
            remedy=f"it has {', '.join(there)}" if there else f"there are no logs in {entry.logs}",
        )
    return (there[stage],)


def start_of_last(path: Path, count: int) -> int:
    """The offset in bytes where the last ``count`` lines of a file begin. Raises OSError."""
    with path.open("rb") as stream:
        position = os.fstat(stream.fileno()).st_size
        if not count:
            return position
        # The newline that ends the last line begins none.
        wanted, first = count + 1, True
        while position and wanted:
            size = min(_BLOCK, position)
            position -= size
            stream.seek(position)
            block = stream.read(size)
            if first and not block.endswith(b"\n"):
                wanted -= 1
            first = False
            at = len(block)
            while wanted and (at := block.rfind(b"\n", 0, at)) >= 0:
                wanted -= 1
                if not wanted:
                    return position + at + 1
    return 0


def start_points(paths: Sequence[Path], last: int | None) -> tuple[tuple[Path, int], ...]:
    """Each file with the offset to read it from, so that ``last`` lines come of all together; None: every line.
    Raises OSError."""
    if last is None:
        return tuple((path, 0) for path in paths)
    points = []
    for path in reversed(paths):
        points.append((path, start_of_last(path, last)))
        if last and not points[-1][1]:
            with path.open("rb") as stream:
                last = max(0, last - sum(1 for _ in stream))
        else:
            last = 0
    return tuple(reversed(points))


def read_logs(entry: RunEntry, stage: str | None, last: int | None) -> Iterator[LogLine]:
    """The ``last`` lines of the logs, or every one. Raises UsageError for a stage without a log, and OSError."""
    for path, offset in start_points(log_files(entry, stage), last):
        with path.open("rb") as stream:
            stream.seek(offset)
            for line in stream:
                yield LogLine(path.stem, line.rstrip(b"\n").decode("utf-8", errors="replace"))


def follow_logs(entry: RunEntry, stage: str | None, last: int | None, *, poll: float = _POLL) -> Iterator[LogLine]:
    """The ``last`` lines of the logs, then each new one of whichever stage is at work, until the run is no more. The
    log of ``stage`` may be still to come."""
    watched = Watched(entry)
    if stage in _ORDER and not (entry.logs / f"{stage}.log").exists():
        tails = {stage: Tail(entry.logs / f"{stage}.log")}
    else:
        points = start_points(log_files(entry, stage), last)
        tails = {path.stem: Tail(path, offset) for path, offset in points}
    while True:
        # Asked before reading: what was written before the run ended is then in what is read.
        over = watched.state().state != "running"
        if stage is None:
            for path in log_files(entry):
                tails.setdefault(path.stem, Tail(path))
        for name, tail in tails.items():
            for text in tail.lines(last=over):
                yield LogLine(name, text)
        if over:
            return
        time.sleep(poll)
