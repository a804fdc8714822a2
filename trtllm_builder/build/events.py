"""What a build told its watchers, kept beside its logs, so that another process can watch it, then or later.

``events.jsonl`` has a line a call of the observer: ``{"time": ..., "event": "stage", ...}``. A run that is resumed goes
on in the same file; each start begins with a ``run`` event.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path

from trtllm_builder.build.journal import Json
from trtllm_builder.build.observer import Observer
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.state import EVENTS, Watched

_EVERY = 1.0
_POLL = 0.25
_LONGEST_LINE = 400


class Recorder:
    """An observer that passes all on to another one and, from the ``run`` call on, writes it down too; what came before
    is written then. Progress is written once a second and at the end of a stage. A disk that is full ends nothing: the
    build itself will say so."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._handle = -1
        self._early: list[Json] = []
        self._pending: Json | None = None
        self._written = 0.0
        self._torn = False

    def run(self, identifier: str, logs: Path) -> None:
        with suppress(OSError):
            logs.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(logs / EVENTS, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._handle).st_size
            self._torn = size > 0 and os.pread(self._handle, 1, size - 1) != b"\n"
        self._write({"event": "run", "id": identifier, "logs": str(logs)})
        for document in self._early:
            self._write(document)
        self._early.clear()
        self._observer.run(identifier, logs)

    def stage(self, name: str, state: str, detail: str) -> None:
        self._say({"event": "stage", "stage": name, "state": state, "detail": detail})
        self._observer.stage(name, state, detail)

    def note(self, text: str) -> None:
        self._say({"event": "note", "text": text})
        self._observer.note(text)

    def progress(self, progress: Progress, line: str | None) -> None:
        if line is None and self._pending is not None:
            line = self._pending["line"]
        self._pending = {"event": "progress", "line": line and line[:_LONGEST_LINE], "progress": progress}
        if time.monotonic() - self._written >= _EVERY:
            self._flush()
        self._observer.progress(progress, line)

    def close(self) -> None:
        """Write what is still held back."""
        self._flush()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _say(self, document: Json) -> None:
        self._flush()
        document = {"time": round(time.time(), 3), **document}
        if self._handle < 0:
            self._early.append(document)
        else:
            self._write(document)

    def _flush(self) -> None:
        if self._pending is not None:
            progress = self._pending["progress"]
            self._written = time.monotonic()
            self._write({**self._pending, "progress": asdict(progress)})
            self._pending = None

    def _write(self, document: Json) -> None:
        if self._handle < 0:
            return
        line = json.dumps({"time": round(time.time(), 3), **document}).encode() + b"\n"
        # A line cut short by a full disk or a crash must not swallow this one.
        line = b"\n" + line if self._torn else line
        try:
            self._torn = os.write(self._handle, line) != len(line)
        except OSError:
            self._torn = True


class Tail:
    """The lines of a file that may not be there yet and that somebody else writes."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._rest = b""

    def lines(self, *, last: bool = False) -> list[str]:
        """The whole lines that are new; with ``last`` also the one that was never ended."""
        try:
            with self._path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size < self._offset:
                    self._offset, self._rest = 0, b""
                stream.seek(self._offset)
                block = stream.read()
        except OSError:
            block = b""
        self._offset += len(block)
        *whole, self._rest = (self._rest + block).split(b"\n")
        if last and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", errors="replace") for line in whole]


def read_event(line: str) -> Json | None:
    """The event of a line; None for what is none, such as a line cut short."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("event"), str) else None


def follow(entry: RunEntry, *, poll: float = _POLL) -> Iterator[Json]:
    """The events of the run's last start so far, then each new one, until the run is no more (``run_state`` says how it
    ended)."""
    tail, watched = Tail(entry.logs / EVENTS), Watched(entry)
    caught_up = False
    while True:
        # Asked before reading: what a run wrote before it ended is then in what is read.
        over = watched.state().state != "running"
        events = [event for line in tail.lines(last=over) if (event := read_event(line))]
        if not caught_up:
            starts = [number for number, event in enumerate(events) if event["event"] == "run"]
            events = events[starts[-1] :] if starts else events
            caught_up = True
        yield from events
        if over:
            return
        time.sleep(poll)


def replay(event: Json, observer: Observer) -> None:
    """Tell ``observer`` what was told then; an event of a shape that this version does not know is passed over."""
    with suppress(KeyError, TypeError, ValueError):
        if event["event"] == "run":
            observer.run(str(event["id"]), Path(event["logs"]))
        elif event["event"] == "stage":
            observer.stage(str(event["stage"]), str(event["state"]), str(event["detail"]))
        elif event["event"] == "note":
            observer.note(str(event["text"]))
        elif event["event"] == "progress":
            observer.progress(read_progress(event), event["line"])


def read_progress(event: Json) -> Progress:
    """The progress in a ``progress`` event. Raises KeyError, TypeError and ValueError."""
    told = dict(event["progress"])
    known = {field.name: told[field.name] for field in fields(Progress) if field.name in told}
    # JSON knows no tuples.
    known["running"] = tuple((str(file), float(seconds)) for file, seconds in known.get("running", ()))
    return Progress(**known)
