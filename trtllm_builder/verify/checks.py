"""A check: one question asked of a wheel, with what was seen and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trtllm_builder.text import clean

_FAULT_LIMIT = 300  # characters
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

    @property
    def fault(self) -> str:
        """One line on what is wrong, empty unless failed: the title says what was wanted, not what is."""
        if self.status != "failed":
            return ""
        seen = clean(self.evidence[0]).strip() if self.evidence else ""
        return f"{self.id}: {seen.splitlines()[0][:_FAULT_LIMIT] if seen else f'not so: {self.title}'}"

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "severity": self.severity,
            "status": self.status,
            "title": self.title,
            "evidence": list(self.evidence),
            "remedy": self.remedy,
            "fault": self.fault,
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
