"""A check: one question asked of a wheel, with what was seen and what to do. One module a subject beside this one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from trtllm_builder.text import clean

_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
_FAULT_LIMIT = 300  # characters
Severity = Literal["error", "warning", "info"]
Status = Literal["passed", "failed", "skipped"]
Level = Literal["fail", "warn", "info", "ok", "skipped"]


@dataclass(frozen=True)
class Evidence:
    """One thing that was seen: in which member of the wheel (empty: all of it) and, in a text, on which line."""

    what: str
    member: str = ""
    line: int = 0

    def __str__(self) -> str:
        member = visible(self.member)
        where = f"{member}:{self.line}" if self.line else member
        return f"{where}: {self.what}" if where else self.what


Seen = str | Evidence


def visible(name: str) -> str:
    """``name`` with what is no character to see spelled out, as in ``a\\x1b[31m.py``: it may be the very finding."""
    return "".join(char if unicodedata.category(char) not in _UNSEEN else ascii(char)[1:-1] for char in name)


@dataclass(frozen=True)
class Check:
    """``severity`` is what a failure means; ``evidence`` is what was seen, or why the check was skipped."""

    id: str
    severity: Severity
    status: Status
    title: str
    evidence: tuple[Evidence, ...] = ()
    remedy: str = ""

    @property
    def fatal(self) -> bool:
        return self.status == "failed" and self.severity == "error"

    @property
    def level(self) -> Level:
        """Severity and status in one word: what a reader wants to see first."""
        if self.status == "skipped":
            return "skipped"
        if self.status == "passed":
            return "info" if self.severity == "info" else "ok"
        return {"error": "fail", "warning": "warn", "info": "info"}[self.severity]  # type: ignore[return-value]

    @property
    def fault(self) -> str:
        """One line on what is wrong, empty unless failed: the title says what was wanted, not what is."""
        if self.status != "failed":
            return ""
        seen = clean(str(self.evidence[0])).strip() if self.evidence else ""
        return f"{self.id}: {seen.splitlines()[0][:_FAULT_LIMIT] if seen else f'not so: {self.title}'}"

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "severity": self.severity,
            "status": self.status,
            "level": self.level,
            "title": self.title,
            "evidence": [{"what": one.what, "member": one.member, "line": one.line} for one in self.evidence],
            "remedy": self.remedy,
            "fault": self.fault,
        }


def judged(
    id: str,
    title: str,
    problems: Iterable[Seen],
    *,
    severity: Severity = "error",
    remedy: str = "",
    seen: Seen | Iterable[Seen] = (),
) -> Check:
    """Failed with the problems as evidence, or passed with ``seen``. The remedy is only told on failure."""
    if found := evidence(problems):
        return Check(id, severity, "failed", title, found, remedy)
    return Check(id, severity, "passed", title, evidence((seen,) if isinstance(seen, (str, Evidence)) else seen))


def noted(id: str, title: str, seen: Iterable[Seen]) -> Check:
    """Nothing to judge, but something to know."""
    return Check(id, "info", "passed", title, evidence(seen))


def skipped(id: str, title: str, why: str, *, severity: Severity = "error", remedy: str = "") -> Check:
    """Not asked, and why: never to be read as passed."""
    return Check(id, severity, "skipped", title, evidence((why,)), remedy)


def evidence(items: Iterable[Seen]) -> tuple[Evidence, ...]:
    """Plain sentences are about the wheel as a whole."""
    return tuple(item if isinstance(item, Evidence) else Evidence(item) for item in items if item)


def few(names: Iterable[str], keep: int = 5) -> str:
    """``a, b and 3 more``."""
    listed = list(names)
    return ", ".join(listed[:keep]) + (f" and {len(listed) - keep} more" if len(listed) > keep else "")


def like(members: Sequence[str]) -> str:
    """`` (like 3 others)``, behind what the first of several members does; empty when it is alone."""
    others = len(members) - 1
    return f" (like {others} other{'s' * (others > 1)})" if others else ""
