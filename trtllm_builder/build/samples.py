"""What a build used, second by second, kept beside its logs: the curves of its timeline.

``samples.jsonl`` has a JSON object a line (schema ``sample.json``), ``steps.jsonl`` the build steps as they ended:
``{"ninja": 1, "start": ms, "end": ms, "output": ..., "hit": ...}`` in milliseconds since that ninja began, with
``"waited": ms`` where it waited at the gate, and
``{"ninja": 1, "began": seconds since 1970}``, of which the last one counts, since it is known better and better. A run
that is resumed goes on in the same files. A line cut short by a crash or a full disk is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trtllm_builder.build.ninja_log import Finished
from trtllm_builder.build.progress import Progress

SAMPLES, STEPS = "samples.jsonl", "steps.jsonl"
# Every second for the first minutes, then more and more seldom: a long build is seen from further away.
_AT_ONCE = 600.0
_PART = 1 / 600


@dataclass(frozen=True)
class Sample:
    """``t`` in seconds since 1970; ``memory`` the most since the last sample and ``disk_free`` the least, in bytes;
    ``cpu`` the processors kept busy; ``jobs`` the steps at work; ``hits`` and ``misses`` the cache's so far."""

    t: float
    phase: str
    done: int
    total: int
    memory: int
    disk_free: int
    cpu: float
    jobs: int
    hits: int
    misses: int


@dataclass(frozen=True)
class Step:
    """A build step. ``start`` and ``end`` in seconds since 1970; ``ninja`` counts the ninjas of the run; ``hit`` is
    None where no compile cache was asked; ``waited`` seconds of it were spent at the gate."""

    output: str
    start: float
    end: float
    ninja: int
    hit: bool | None
    waited: float = 0.0


class Samples:
    """Writes samples, few enough. A disk that is full ends nothing."""

    def __init__(self, logs: Path) -> None:
        self._path = logs / SAMPLES
        self._written = 0.0
        self._phase = ""
        self._memory, self._disk_free = 0, 0

    def add(self, progress: Progress, now: float) -> None:
        self._memory = max(self._memory, progress.memory)
        self._disk_free = min(self._disk_free, progress.disk_free) if self._disk_free else progress.disk_free
        every = 0.0 if progress.elapsed < _AT_ONCE else progress.elapsed * _PART
        if progress.phase == self._phase and now - self._written < every:
            return
        sample = Sample(
            t=round(now, 2),
            phase=progress.phase,
            done=progress.done,
            total=progress.total,
            memory=self._memory,
            disk_free=self._disk_free,
            cpu=round(progress.cpu, 2),
            jobs=progress.jobs,
            hits=progress.hits,
            misses=progress.misses,
        )
        self._written, self._phase = now, progress.phase
        self._memory, self._disk_free = 0, 0
        append_lines(self._path, [asdict(sample)])


class Steps:
    """Writes build steps as they end."""

    def __init__(self, logs: Path) -> None:
        self._path = logs / STEPS
        # A resumed run's ninjas are counted on.
        self._before = max((int(one.get("ninja", 0)) for one in read_lines(self._path) if _counts(one)), default=0)
        self._began: dict[int, float] = {}

    def add(self, finished: list[tuple[Finished, bool | None, float]], began: dict[int, float]) -> None:
        """``finished`` with whether it was a hit of the cache, and for how many seconds it waited at the gate."""
        documents: list[dict[str, Any]] = []
        for ninja, moment in began.items():
            if moment < self._began.get(ninja, float("inf")) - 0.005:
                self._began[ninja] = moment
                documents.append({"ninja": self._before + ninja, "began": round(moment, 3)})
        for one, hit, waited in finished:
            edge = one.edge
            documents.append(
                {
                    "ninja": self._before + one.ninja,
                    "start": edge.start,
                    "end": edge.end,
                    "output": edge.output,
                    "hit": hit,
                    **({"waited": round(waited * 1000)} if waited else {}),
                }
            )
        if documents:
            append_lines(self._path, documents)


def append_lines(path: Path, documents: list[dict[str, Any]]) -> None:
    with suppress(OSError), path.open("ab") as stream:
        # A line cut short must not swallow the next one.
        torn = b""
        if stream.tell():
            with path.open("rb") as reader:
                reader.seek(-1, 2)
                torn = b"" if reader.read(1) == b"\n" else b"\n"
        stream.write(torn + b"".join(json.dumps(one).encode() + b"\n" for one in documents))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; nothing of one that is not there."""
    with suppress(OSError), path.open("rb") as stream:
        for line in stream:
            with suppress(ValueError, RecursionError):
                document = json.loads(line)
                if isinstance(document, dict):
                    yield document


def read_samples(logs: Path) -> list[Sample]:
    """All samples of a run that make sense, in the order of their time."""
    kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float)}
    names = {one.name: kinds[str(one.type)] for one in fields(Sample)}
    found = [
        Sample(**{name: document[name] for name in names})
        for document in read_lines(logs / SAMPLES)
        if all(isinstance(document.get(name), kind) for name, kind in names.items())
        and all(0 <= document[name] < 1e18 for name, kind in names.items() if kind is not str)
    ]
    return sorted(found, key=lambda sample: sample.t)


def read_steps(logs: Path) -> list[Step]:
    """All steps of a run whose ninja's beginning is known, in the order of their start."""
    began: dict[int, float] = {}
    documents = []
    for document in read_lines(logs / STEPS):
        if not _counts(document):
            continue
        if isinstance(document.get("began"), (int, float)):
            began[document["ninja"]] = float(document["began"])
        elif isinstance(document.get("output"), str) and all(_milliseconds(document.get(n)) for n in ("start", "end")):
            documents.append(document)
    steps = []
    for one in documents:
        start = began.get(one["ninja"])
        if start is not None and one["start"] <= one["end"]:
            hit = one.get("hit") if isinstance(one.get("hit"), bool) else None
            waited = one.get("waited", 0) if _milliseconds(one.get("waited", 0)) else 0
            begin, end = start + one["start"] / 1000, start + one["end"] / 1000
            steps.append(Step(one["output"], begin, end, one["ninja"], hit, min(waited / 1000, end - begin)))
    return sorted(steps, key=lambda step: (step.start, step.end))


def _counts(document: dict[str, Any]) -> bool:
    return isinstance(document.get("ninja"), int) and 0 < document["ninja"] < 10**6


def _milliseconds(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 10**11
