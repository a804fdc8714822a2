"""What the events of a build, its record and its verification say of how it fared."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtllm_builder.ci.result import Ending, Result

_LARGEST = 2**28
_STOPPED = (130, 143, 129)
_DIED = 137
Json = dict[str, Any]


@dataclass
class Gathered:
    """Filled as a build goes on; ``result`` may be asked at any time. ``step`` is the command at work, ``code`` what
    the last one ended with."""

    profile: str
    builder: str
    started: float
    step: str = ""
    code: int = 0
    wheel: Path | None = None
    _run: str | None = None
    _logs: Path | None = None
    _stage: str | None = None
    _error: Json | None = None
    _kept: bool = False
    _progress: Json = field(default_factory=dict)
    _peak: int = 0
    _record: Json = field(default_factory=dict)
    _report: Json = field(default_factory=dict)

    def event(self, event: Json) -> None:
        """One line of ``trtllm-build ... --json``; what is not as it should be is passed over."""
        kind = event["event"]
        if kind == "run":
            self._run, self._logs = str(event.get("id")), Path(str(event.get("logs")))
        elif kind == "stage":
            self._stage = str(event.get("stage"))
        elif kind == "progress":
            self._progress = event
            self._peak = max(self._peak, _whole(event.get("memory")) or 0)
        elif kind == "finished":
            self.wheel = Path(str(event.get("wheel")))
            self._kept = event.get("kept") is True
            self._report = _mapping(event.get("report"))
            self._record = _read(Path(str(event.get("record"))))
        elif kind == "error":
            self._error = _mapping(event.get("error"))

    def ended(self, code: int, printed: bytes) -> None:
        """The command ended: its exit status, negative for a signal, and what it printed that was no event."""
        self.code = code if code >= 0 else 128 - code
        if self.step == "verify":
            with suppress(ValueError, RecursionError):
                self._report = _mapping(json.loads(printed)) or self._report
        if self.code == 0:
            self._error = None
        elif self.step == "verify":
            self._stage = self.step
            told = f"the finished wheel does not pass: {self._report.get('verdict')}"
            self._error = self._error or {"what": told, "remedy": ""}

    def stopped(self, code: int, why: str) -> None:
        """It was stopped, or its time was over."""
        self.code = code if code in _STOPPED else _STOPPED[1]
        self._error = {"what": why, "remedy": ""}

    def result(self, now: float) -> Result:
        record, report = self._record, self._report
        good = self.code == 0 and self.wheel is not None
        # Taken from an index or a store, its record tells of the run that built it, and so do the figures in it.
        reused = self._kept or (good and record.get("run") != self._run)
        measured = {} if reused else _mapping(record.get("measured"))
        wheel = _mapping(record.get("wheel"))
        cache = _mapping(measured.get("cache") or self._progress.get("cache"))
        source, patches = _mapping(record.get("source")), _mapping(record.get("patches"))
        error = self._error or {}
        diagnosis = _mapping(error.get("diagnosis"))
        failed = [one for one in report.get("checks") or [] if isinstance(one, dict) and one.get("status") == "failed"]
        return Result(
            profile=self.profile,
            result=self._ending(good, reused),
            exit_code=self.code if self.code or good else 70,
            started=self.started,
            seconds=max(0.0, now - self.started),
            builder=self.builder,
            run=self._run,
            stage=None if good else self._stage or self.step or None,
            fault=None if good else str(error.get("what") or "it ended without a word"),
            remedy=None if good else str(error.get("remedy") or "") or None,
            diagnosis=_text(diagnosis.get("cause")),
            lock=_text(_mapping(record.get("lock")).get("sha256")),
            ref=_text(source.get("ref")),
            commit=_text(source.get("commit")),
            version=_text(patches.get("version")),
            wheel=_text(wheel.get("name")) if good else None,
            sha256=_text(wheel.get("sha256")) if good else None,
            size=_whole(wheel.get("size")) if good else None,
            hits=_whole(cache.get("hits")),
            misses=_whole(cache.get("misses")),
            peak_memory=_whole(measured.get("peak_memory")) or self._peak or None,
            peak_disk=_whole(measured.get("peak_disk")),
            verdict=_text(report.get("verdict")),
            failed_checks=tuple(str(one.get("id")) for one in failed),
        )

    def beside(self, out: Path) -> list[Path]:
        """Files that tell more: the wheel with all that stands beside it, or the logs of what failed and the reports on
        what was rejected into ``out``."""
        if self.code == 0 and self.wheel is not None:
            return sorted(path for path in self.wheel.parent.glob(f"{self.wheel.name}*") if path.is_file())
        logs = sorted(self._logs.glob("*.log")) if self._logs is not None else []
        rejected = [path for path in sorted(out.glob("*.rejected.*")) if path.stat().st_mtime >= self.started]
        return [path for path in (*logs, *rejected) if path.stat().st_size <= _LARGEST]

    def _ending(self, good: bool, reused: bool) -> Ending:
        if good:
            return "reused" if reused else "built"
        if self.code in _STOPPED:
            return "interrupted"
        return "died" if self.code == _DIED else "failed"


def _read(path: Path) -> Json:
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        return _mapping(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
