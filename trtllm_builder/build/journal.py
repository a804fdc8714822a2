"""The journal of a workspace: one JSON line an event, written as it happens, so that a killed run knows what is done.

The file is append-only; every line is flushed to disk before the next step begins. A line cut short by a crash is
ignored: what it would have said did not finish.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Stamp:
    """A finished stage: the digest of each thing that went in, by name, and the result that later stages read."""

    stage: str
    inputs: dict[str, str]
    result: Json


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON form of ``value``."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


class Journal:
    """Events of all runs in one workspace, the last run's included."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[Json]:
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        found = []
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                found.append(event)
        return found

    def append(self, event: str, **facts: object) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **facts}, default=str) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # A line cut short by a crash must not swallow the next one.
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = "\n" + line
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def stamps(self) -> dict[str, Stamp]:
        """The last finished state of each stage; a stage that was begun again and not finished has no inputs, so that
        nothing agrees with them.

        A ``rebuild`` event takes all stamps away.
        """
        stamps: dict[str, Stamp] = {}
        for event in self.events():
            stage = event.get("stage")
            if event["event"] == "rebuild":
                stamps.clear()
            elif event["event"] == "begin" and isinstance(stage, str):
                stamps[stage] = Stamp(stage, {}, {})
            elif event["event"] == "end" and isinstance(stage, str) and isinstance(event.get("result"), dict):
                inputs = event.get("inputs")
                stamps[stage] = Stamp(stage, inputs if isinstance(inputs, dict) else {}, event["result"])
        return stamps

    def last_end(self, stage: str) -> Json | None:
        """The last ``end`` event of the stage, whatever came after it, ``rebuild`` excepted."""
        for event in reversed(self.events()):
            if event["event"] == "rebuild":
                return None
            if event["event"] == "end" and event.get("stage") == stage and isinstance(event.get("result"), dict):
                return event
        return None

    def last_run(self, identifier: str | None = None) -> Json | None:
        """The last ``run`` event, of any run or of that one, finished or not."""
        runs = (event for event in reversed(self.events()) if event["event"] == "run")
        return next((event for event in runs if identifier in (None, event.get("id"))), None)

    def rebuilding(self) -> bool:
        """Whether a clean source was asked for and is not there yet."""
        wanted = any(event["event"] == "rebuild" for event in self.events())
        return wanted and self.last_end("fetch") is None

    def unfinished(self) -> Json | None:
        """The ``run`` event of the last run when no ``done`` followed it, else None."""
        last: Json | None = None
        for event in self.events():
            if event["event"] == "run":
                last = event
            elif event["event"] == "done":
                last = None
        return last
