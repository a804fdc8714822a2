"""How a run fares: what the journal of its workspace says, and whether its process still lives."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trtllm_builder.build.journal import Journal, Json
from trtllm_builder.build.registry import RunEntry, find, read_registry
from trtllm_builder.errors import UsageError
from trtllm_builder.process import is_alive

State = Literal["running", "done", "failed", "interrupted", "died", "gone"]
EVENTS = "events.jsonl"
# As shells say it of a process that was killed: nobody saw how the run ended, and this is how it mostly happens.
_DIED = 137
_GONE = 3


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number: ``start`` as in proc(5), clock ticks."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.start)


@dataclass(frozen=True)
class RunState:
    """``stage`` is the one at work or, of a run that ended early, the one it ended in. ``began`` and ``ended`` are of
    the last start, in seconds since 1970; ``seconds`` sums the work of all its starts. ``child`` leads the session of
    upstream's build. ``result`` holds what record and verify left. ``gone`` means that its workspace knows it no more.
    """

    state: State
    stage: str | None = None
    supervisor: Process | None = None
    child: Process | None = None
    began: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    error: Json | None = None
    code: int = 0
    kept: bool = False
    result: Json | None = None

    @property
    def exit_code(self) -> int | None:
        """What the run ended with, as its own process said it to the shell; None while it runs."""
        fixed = {"running": None, "done": 0, "died": _DIED, "gone": _GONE}
        return fixed.get(self.state, self.code)

    @property
    def resumable(self) -> bool:
        return self.state in ("failed", "interrupted", "died")


def run_state(entry: RunEntry, now: float | None = None) -> RunState:
    """The state at this moment. A workspace that cannot be read counts as gone."""
    return run_states([entry], now)[0]


def run_states(entries: Iterable[RunEntry], now: float | None = None) -> tuple[RunState, ...]:
    """The states of several runs, each journal read once."""
    now = time.time() if now is None else now
    journals: dict[Path, list[Json]] = {}
    states = []
    for entry in entries:
        if entry.workspace not in journals:
            try:
                journals[entry.workspace] = Journal(entry.workspace / "journal.jsonl").events()
            except OSError:
                journals[entry.workspace] = []
        states.append(_state(entry, journals[entry.workspace], now))
    return tuple(states)


def find_running(run: str | None, environ: Mapping[str, str], *, only: bool = False) -> RunEntry:
    """The run of that name (see ``find``); without one the newest that runs, else the newest. With ``only`` a choice
    between several that run is refused. Raises UsageError."""
    if run is not None:
        return find(run, environ)
    entries = read_registry(environ).entries
    running = [entry for entry, state in zip(entries, run_states(entries), strict=True) if state.state == "running"]
    if only and len(running) > 1:
        told = ", ".join(f"{entry.identifier} ({entry.profile})" for entry in running)
        raise UsageError(f"{len(running)} runs are at work", remedy=f"name one of them: {told}")
    return running[0] if running else find(None, environ)


class Watched:
    """A run that is asked for its state often: its journal is read again only when it changed or the process ended."""

    def __init__(self, entry: RunEntry) -> None:
        self._entry = entry
        self._seen: tuple[int, int] | None = None
        self._state = RunState("gone")

    def state(self) -> RunState:
        try:
            stat = (self._entry.workspace / "journal.jsonl").stat()
            seen = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            seen = None
        supervisor = self._state.supervisor
        if seen is None or seen != self._seen or supervisor is None or not supervisor.alive:
            self._seen, self._state = seen, run_state(self._entry)
        return self._state


def _state(entry: RunEntry, events: list[Json], now: float) -> RunState:
    identifier = entry.identifier
    results: dict[str, Json] = {}
    began: float | None = None
    last, worked = 0.0, 0.0
    stage: str | None = None
    supervisor, child = None, None
    ending: Json | None = None
    for event in events:
        kind, at = event["event"], _number(event.get("time"))
        if kind == "end" and isinstance(event.get("result"), dict):
            results[str(event.get("stage"))] = event["result"]
        if identifier not in (event.get("id"), event.get("run")):
            continue
        if kind == "run":
            worked += last - began if began is not None else 0.0
            began, stage, ending, child = at, None, None, None
            supervisor = _process(event.get("pid"), event.get("start"))
        elif kind == "begin":
            stage = str(event.get("stage"))
        elif kind == "child":
            child = _process(event.get("group"), event.get("start"))
        elif kind in ("done", "failed", "interrupted"):
            ending = {**event, "results": dict(results)}
            stage = str(event.get("stage")) if event.get("stage") else stage
        last = at
    if began is None:
        return RunState("gone")
    if ending is None and supervisor is not None and supervisor.alive:
        return RunState("running", stage, supervisor, child, began, None, worked + max(0.0, now - began))
    if ending is None:
        last = max(last, _last_sign(entry))
    seconds = worked + max(0.0, last - began)
    if ending is None:
        return RunState("died", stage, supervisor, child, began, last, seconds)
    if ending["event"] == "done":
        result = {"record": ending["results"].get("record", {}), "verify": ending["results"].get("verify", {})}
        kept = bool(ending.get("kept"))
        return RunState("done", None, None, None, began, last, seconds, kept=kept, result=result)
    if ending["event"] == "failed":
        error = ending["error"] if isinstance(ending.get("error"), dict) else None
        code = int(_number(ending.get("exit_code"))) or 70
        return RunState("failed", stage, supervisor, child, began, last, seconds, error=error, code=code)
    code = 128 + int(_number(ending.get("signal")))
    return RunState("interrupted", stage, supervisor, child, began, last, seconds, code=code)


def _last_sign(entry: RunEntry) -> float:
    """When the run last wrote of itself, which it does each second while upstream builds."""
    try:
        return (entry.logs / EVENTS).stat().st_mtime
    except OSError:
        return 0.0


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e15 else 0.0


def _process(pid: object, start: object) -> Process | None:
    return Process(pid, start) if isinstance(pid, int) and isinstance(start, int) and pid > 0 else None
