"""One thing that the doctor has to say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Finding:
    """``what`` is what was seen, in a sentence; ``remedy`` what to do, empty where nothing is to be done."""

    id: str
    level: Level
    what: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "level": self.level, "what": self.what, "remedy": self.remedy}


def ok(id: str, what: str) -> Finding:
    """As it should be."""
    return Finding(id, "ok", what)


def warn(id: str, what: str, remedy: str) -> Finding:
    """It works, or may: something should be known."""
    return Finding(id, "warn", what, remedy)


def fail(id: str, what: str, remedy: str) -> Finding:
    """It will not work before this is changed."""
    return Finding(id, "fail", what, remedy)


def skipped(id: str, why: str) -> Finding:
    """Not looked at, and why."""
    return Finding(id, "skipped", why)


def softened(finding: Finding) -> Finding:
    """A failure of what was not asked about is a warning."""
    return replace(finding, level="warn") if finding.level == "fail" else finding
