"""A diagnosis as lines for a person, and as the error that ends a build of ours."""

from __future__ import annotations

from pathlib import Path

from trtllm_builder.build.diagnosis.engine import diagnose, diagnose_file
from trtllm_builder.build.diagnosis.model import Cause, Diagnosis
from trtllm_builder.build.evidence import Evidence
from trtllm_builder.errors import BuilderError, BuildError, HostError


def lines_of(diagnosis: Diagnosis) -> list[str]:
    """Sentence, remedy, the lines of the log with their numbers, then the other causes."""
    shown = _lines(diagnosis.first)
    for other in diagnosis.others:
        shown += ["", *(_lines(other, "also: "))]
    if diagnosis.evidence:
        shown += ["", *diagnosis.evidence]
    return shown


def _lines(cause: Cause, before: str = "") -> list[str]:
    shown = [before + cause.sentence]
    if cause.remedy:
        shown.append(f"  {cause.remedy}")
    return [*shown, *(f"  line {line.number}: {line.text}" for line in cause.lines)]


def cause_in(output: str) -> Cause | None:
    """What a program's whole output says about its failure; None when no known cause is in it."""
    found = diagnose(enumerate(output.splitlines(), 1))
    return found.first if found.known else None


def build_failure(log: Path, skip: int, evidence: Evidence, ending: str) -> BuilderError:
    """Why upstream's build stopped, from what it wrote to ``log`` after ``skip`` bytes. ``ending`` is how it ended."""
    try:
        diagnosis = diagnose_file(log, evidence, skip=skip)
    except OSError as error:
        return BuildError(f"upstream's build_wheel.py {ending}, and its log cannot be read: {error.strerror}", log=log)
    first = diagnosis.first
    what = first.sentence if diagnosis.known else f"upstream's build_wheel.py {ending}. {first.sentence}"
    what += "".join(f"\n  line {line.number}: {line.text}" for line in first.lines)
    what += "".join(f"\n  also: {other.sentence}" for other in diagnosis.others)
    kind = HostError if first.host else BuildError
    remedy = first.remedy if diagnosis.known else "mend the cause and give the same command again"
    if "same command" not in remedy:
        remedy += "; then give the same command again: what is compiled stays compiled"
    return kind(what, remedy=remedy, log=log, diagnosis=diagnosis.to_json())
