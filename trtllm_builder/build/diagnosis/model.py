"""A signature of a failure, as data, and what was found of it in a log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """How much a match says. Of the causes found, the highest rank leads, and among equals the earliest line."""

    HINT = 1
    """Often harmless: it leads only when nothing else is found."""
    WRAPPER = 2
    """A program's own last word (CMake, pip, Python): the error inside it, when it is known, says more."""
    PLAIN = 3
    """The compiler or linker refuses something that it names, and no common cause is known for it."""
    CAUSE = 4
    """A known cause."""


@dataclass(frozen=True)
class Pattern:
    """``needle`` is a piece of text that every matching line holds (looked for first, since that is quick)."""

    needle: str
    expression: re.Pattern[str]


@dataclass(frozen=True)
class Signature:
    """One cause. Named groups of its patterns are captured; matches with different ``subject`` are different findings.

    ``says`` and ``remedy`` are templates, of which the first counts whose names are all captured. ``explains`` are
    causes that are consequences of this one when both are found. ``parts`` says that the subject is looked up among
    the known packages (see ``packages``). ``host`` means that the machine is not fit, rather than the build
    wrong. ``settled``: it belongs to what goes before compiling, so when a compiler fails later it was got over (tried
    again, answered, or not needed).
    """

    id: str
    rank: Rank
    patterns: tuple[Pattern, ...]
    says: tuple[str, ...]
    remedy: tuple[str, ...]
    explains: frozenset[str] = frozenset()
    parts: bool = False
    host: bool = False
    settled: bool = False


def signature(
    id: str,
    *patterns: str | tuple[str, str],
    says: str | tuple[str, ...],
    remedy: str | tuple[str, ...],
    rank: Rank = Rank.CAUSE,
    explains: tuple[str, ...] = (),
    parts: bool = False,
    host: bool = False,
    settled: bool = False,
) -> Signature:
    """A pattern is a text to be found as it stands, or such a text and a regular expression for the line it is in."""
    return Signature(
        id=id,
        rank=rank,
        patterns=tuple(
            Pattern(one, re.compile(re.escape(one))) if isinstance(one, str) else Pattern(one[0], re.compile(one[1]))
            for one in patterns
        ),
        says=(says,) if isinstance(says, str) else says,
        remedy=(remedy,) if isinstance(remedy, str) else remedy,
        explains=frozenset(explains),
        parts=parts,
        host=host,
        settled=settled,
    )


@dataclass(frozen=True)
class LogLine:
    """A line of a log as it is shown: cleaned, redacted and cut. ``number`` counts from 1."""

    number: int
    text: str

    def to_json(self) -> dict[str, object]:
        return {"number": self.number, "text": self.text}


@dataclass(frozen=True)
class Cause:
    """Why the build stopped, or one of several reasons. ``step`` is the source or target that failed, "" when "
    "not known."""

    id: str
    rank: Rank
    sentence: str
    remedy: str
    lines: tuple[LogLine, ...]
    step: str = ""
    host: bool = False

    def to_json(self) -> dict[str, object]:
        return {
            "cause": self.id,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "step": self.step,
            "lines": [line.to_json() for line in self.lines],
        }


UNKNOWN = "unknown"
NONE = "none"


@dataclass(frozen=True)
class Diagnosis:
    """``first`` is the root cause; its id is ``unknown`` when no signature matched (its lines are then those that look
    most like errors) and ``none`` when nothing looks like a failure. ``evidence`` says what was measured.
    """

    first: Cause
    others: tuple[Cause, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return self.first.id not in (UNKNOWN, NONE)

    def to_json(self) -> dict[str, object]:
        return {
            **self.first.to_json(),
            "known": self.known,
            "others": [other.to_json() for other in self.others],
            "evidence": list(self.evidence),
        }
