"""A check: one question asked of a wheel, with what was seen and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """``severity`` is what a failure means; ``evidence`` is what was seen, or why the check was skipped."""

    id: str
    severity: Severity
    status: Status
    title: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def fatal(self) -> bool:
        return self.status == "failed" and self.severity == "error"

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "severity": self.severity,
            "status": self.status,
            "title": self.title,
            "evidence": list(self.evidence),
            "remedy": self.remedy,
        }


def judged(
    id: str, title: str, problems: list[str], *, severity: Severity = "error", remedy: str = "", seen: str = ""
) -> Check:
    """Failed with the problems as evidence, or passed with ``seen``. The remedy is only told on failure."""
    if problems:
        return Check(id, severity, "failed", title, tuple(problems), remedy)
    return Check(id, severity, "passed", title, (seen,) if seen else ())


def skipped(id: str, title: str, why: str, *, severity: Severity = "error", remedy: str = "") -> Check:
    """Not asked, and why: never to be read as passed."""
    return Check(id, severity, "skipped", title, (why,), remedy)
