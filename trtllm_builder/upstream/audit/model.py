"""What the MPI audit answers: plain values, in the order in which a person asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Entry = Literal["import", "LLM", "serve"]
"""``import tensorrt_llm``; then ``LLM(...)`` and a first answer on one GPU; then ``trtllm-serve serve``."""

ENTRIES: tuple[Entry, ...] = ("import", "LLM", "serve")

Verdict = Literal["touches MPI", "touches MPI where mpi4py is installed", "unknown", "free of MPI", "absent"]


class Standing(IntEnum):
    """How sure it is that a statement runs; the smaller, the surer."""

    CERTAIN = 0
    INSTALLED = 1
    """It runs, and an ImportError there is caught: it matters only where mpi4py is installed."""
    POSSIBLE = 2
    """It runs under a condition, or through a call, that the audit cannot decide."""

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Place:
    """A line of a file of the package; ``file`` is relative to the directory or archive that holds the package."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Touch:
    """A place that reaches MPI. ``trail`` is how one gets there, the entry's own file first."""

    place: Place
    what: str
    standing: Standing
    trail: tuple[Place, ...]
    condition: str | None = None
    """The innermost condition around it that could not be decided."""
    closed_by: str | None = None
    """The shipped patch set after which this place no longer reaches MPI."""

    def to_json(self) -> dict[str, object]:
        return {
            "file": self.place.file,
            "line": self.place.line,
            "what": self.what,
            "standing": self.standing.word,
            "condition": self.condition,
            "trail": [str(place) for place in self.trail],
            "closed_by": self.closed_by,
        }


@dataclass(frozen=True)
class Unknown:
    """A shape that the audit does not understand, on the way from an entry: never taken for harmless."""

    place: Place
    what: str

    def to_json(self) -> dict[str, object]:
        return {"file": self.place.file, "line": self.place.line, "what": self.what}


@dataclass(frozen=True)
class Guarded:
    """A place that would reach MPI and does not run, with the condition that keeps it from running."""

    place: Place
    what: str
    condition: str

    def to_json(self) -> dict[str, object]:
        return {"file": self.place.file, "line": self.place.line, "what": self.what, "condition": self.condition}


@dataclass(frozen=True)
class EntryAudit:
    """One entry. ``touches`` and ``unknown`` are those that this entry adds to the entries before it, but ``verdict``
    is about the whole way: whoever calls ``LLM`` has imported the package first."""

    entry: Entry
    verdict: Verdict
    touches: tuple[Touch, ...]
    unknown: tuple[Unknown, ...]
    modules: int
    """Modules of the package that have run by then."""

    @property
    def open(self) -> bool:
        """Whether it adds a way to MPI that no shipped patch set closes, or something not understood."""
        return bool(self.unknown) or any(not touch.closed_by for touch in self.touches)

    def to_json(self) -> dict[str, object]:
        return {
            "entry": self.entry,
            "verdict": self.verdict,
            "modules": self.modules,
            "touches": [touch.to_json() for touch in self.touches],
            "unknown": [one.to_json() for one in self.unknown],
        }


@dataclass(frozen=True)
class MpiAudit:
    """``assumptions`` are the conditions under which the answer holds."""

    entries: tuple[EntryAudit, ...]
    guarded: tuple[Guarded, ...]
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]

    def entry(self, name: Entry) -> EntryAudit:
        return next(one for one in self.entries if one.entry == name)

    @property
    def end(self) -> str:
        """The whole answer in one sentence, which begins with "closed" or "open"."""
        touches = [touch for entry in self.entries for touch in entry.touches]
        left = sum(touch.closed_by is None for touch in touches)
        unknown = sum(len(entry.unknown) for entry in self.entries)
        if self.open:
            return f"open: places that reach MPI and that no set closes: {left}; unknown shapes: {unknown}"
        if not touches:
            return "closed: nothing here reaches MPI"
        names = ", ".join(sorted({touch.closed_by for touch in touches if touch.closed_by}))
        return f"closed, once {names} is applied; places that reach MPI until then: {len(touches)}"

    @property
    def free(self) -> bool:
        """Whether no way from an entry that is there reaches MPI and nothing was left undecided."""
        return all(one.verdict in ("free of MPI", "absent") for one in self.entries)

    @property
    def open(self) -> bool:
        """Whether a way to MPI, or something not understood, is left that no shipped patch set closes."""
        return any(one.open for one in self.entries)

    def to_json(self) -> dict[str, object]:
        return {
            "free": self.free,
            "open": self.open,
            "entries": [one.to_json() for one in self.entries],
            "guarded": [one.to_json() for one in self.guarded],
            "assumptions": list(self.assumptions),
            "notes": list(self.notes),
        }
