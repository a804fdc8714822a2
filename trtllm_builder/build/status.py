"""Everything about one run on one screen: what it does, how far it is, what it takes, and what can be done next."""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtllm_builder.build.events import read_event, read_progress
from trtllm_builder.build.gone import why_gone
from trtllm_builder.build.logs import read_logs, start_of_last
from trtllm_builder.build.measure import SessionMeter
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.state import EVENTS, RunState, run_state
from trtllm_builder.errors import BuilderError, HostError, Interrupted, UsageError, error_from_json
from trtllm_builder.verify.compiled import Compiled

if TYPE_CHECKING:
    from trtllm_builder.build.pipeline import Finished

# A progress line comes each second, and notes are few.
_EVENTS_LOOKED_AT = 50
_LINES = 8


@dataclass(frozen=True)
class Status:
    """``progress`` is that of the compile stage when it runs or was the last; ``memory`` what the build holds now (see
    Outcome) and ``disk_free`` what is free beside the workspace, in bytes."""

    entry: RunEntry
    state: RunState
    progress: Progress | None
    memory: int | None
    disk_free: int | None
    lines: tuple[str, ...]
    next: tuple[str, ...]

    @property
    def compiled(self) -> Compiled | None:
        """What the compile cache gave: of all compilations when the run is done, else since its last start."""
        if self.progress is not None:
            return Compiled(self.progress.hits, self.progress.misses)
        with suppress(KeyError, TypeError, ValueError):
            told = (self.state.result or {})["verify"]["report"]["compiled"]
            hits, misses, served = (int(told[name]) for name in ("hits", "misses", "remote_hits"))
            return Compiled(hits, misses, served, tuple(map(str, told["remote"])), told["trusted"] is True)
        return None

    def to_json(self) -> dict[str, Any]:
        progress, compiled = self.progress, self.compiled
        return {
            **run_to_json(self.entry, self.state),
            "pid": self.state.supervisor.pid if self.state.state == "running" and self.state.supervisor else None,
            "logs": str(self.entry.logs),
            "progress": None if progress is None else {
                "phase": progress.phase,
                "done": progress.done,
                "total": progress.total,
                "elapsed": round(progress.elapsed, 1),
                "eta": None if progress.eta is None else round(progress.eta, 1),
            },
            "memory": {"now": self.memory, "peak": progress.peak_memory if progress else None},
            "disk": {"free": self.disk_free, "peak": progress.peak_disk if progress else None},
            "cache": None if compiled is None else {"hits": compiled.hits, "misses": compiled.misses},
            "error": self.state.error,
            "lines": list(self.lines),
            "next": list(self.next),
        }  # fmt: skip


def run_to_json(entry: RunEntry, state: RunState) -> dict[str, Any]:
    """A run as ``runs`` and ``status`` tell it. Times in seconds since 1970."""
    record = (state.result or {}).get("record", {})
    return {
        "id": entry.identifier,
        "profile": entry.profile,
        "state": state.state,
        "stage": state.stage,
        "exit_code": state.exit_code,
        "resumable": state.resumable,
        "started": state.began if state.began is not None else entry.started,
        "ended": state.ended,
        "seconds": round(state.seconds, 1),
        "workspace": str(entry.workspace),
        "wheel": record.get("wheel"),
    }


def status(entry: RunEntry) -> Status:
    """Look at a run now. Reads only."""
    state = run_state(entry)
    memory = None
    if state.state == "running":
        memory = SessionMeter(state.child.pid).read().memory if state.child and state.child.alive else 0
    disk_free = None
    with suppress(OSError):
        disk_free = shutil.disk_usage(entry.workspace).free
    return Status(
        entry=entry,
        state=state,
        progress=_progress(entry.logs / EVENTS) if state.stage == "compile" else None,
        memory=memory,
        disk_free=disk_free,
        lines=_last_lines(entry, state),
        next=_next(entry, state),
    )


def ending(entry: RunEntry, state: RunState) -> BuilderError | None:
    """What the run's own process said when it ended without a wheel, as an error with the same exit status; None when
    it ended well or still runs."""
    told = f"run {entry.identifier}"
    remedy = f"`trtllm-build resume {entry.identifier}` goes on where it stopped"
    if state.state == "failed":
        with suppress(KeyError, TypeError, ValueError):
            return error_from_json(state.error or {})
        return BuilderError(f"{told} failed in {state.stage}", log=entry.logs)
    if state.state == "interrupted":
        number = state.code - 128
        return Interrupted(f"{told} was stopped by {_signal(number)}{_during(state)}", signal=number, remedy=remedy)
    if state.state == "died":
        pid = f"process {state.supervisor.pid}" if state.supervisor else "its process"
        return Interrupted(f"{told} died{_during(state)}: {pid} is gone without a word", signal=9, remedy=remedy)
    if state.state == "gone":
        what, remedy = why_gone(entry)
        return HostError(what, remedy=remedy)
    return None


def finished(state: RunState) -> Finished:
    """What the build ended with. Raises KeyError and TypeError for a journal that does not say."""
    # All that builds comes with it, and only who waited for the end needs that.
    from trtllm_builder.build.pipeline import Finished

    result = state.result or {}
    return Finished(
        wheel=Path(result["record"]["wheel"]),
        record=Path(result["record"]["record"]),
        sha256=result["record"]["sha256"],
        report=result["verify"]["report"],
        lines=tuple(result["verify"]["lines"]),
        seconds=state.seconds,
        kept=state.kept,
    )


def _progress(path: Path) -> Progress | None:
    """The last progress that was written down, None when there was none."""
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(start_of_last(path, _EVENTS_LOOKED_AT))
        for line in reversed(stream.read().decode("utf-8", errors="replace").splitlines()):
            event = read_event(line)
            with suppress(KeyError, TypeError, ValueError):
                if event and event["event"] == "progress":
                    return read_progress(event)
    return None


def _last_lines(entry: RunEntry, state: RunState) -> tuple[str, ...]:
    """Of the log of its stage, when that has one. A failure has been explained already, mostly by other lines."""
    if state.state in ("done", "failed", "gone") or state.stage is None:
        return ()
    with suppress(OSError, UsageError):
        return tuple(line.text for line in read_logs(entry, state.stage, _LINES))
    return ()


def _next(entry: RunEntry, state: RunState) -> tuple[str, ...]:
    """Commands that make sense now."""
    identifier = entry.identifier
    if state.state == "running":
        words: tuple[str, ...] = ("attach", "logs -f", "stop")
    elif state.resumable:
        words = ("resume", "logs")
    elif state.state == "gone":
        # What can be done depends on why, which its error says.
        return ()
    else:
        words = ("logs",)
    return tuple(f"trtllm-build {word} {identifier}" for word in words)


def _during(state: RunState) -> str:
    return f" in {state.stage}" if state.stage else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
