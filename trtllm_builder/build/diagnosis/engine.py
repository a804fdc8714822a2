"""From the lines of a log and what was measured around the build to its root cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from trtllm_builder.build.diagnosis.ending import no_log, unfinished
from trtllm_builder.build.diagnosis.model import NONE, UNKNOWN, Cause, Diagnosis, Rank
from trtllm_builder.build.diagnosis.packages import look_up
from trtllm_builder.build.diagnosis.reading import HotLines, unpacked
from trtllm_builder.build.diagnosis.scan import Finding, Scan, shown_line
from trtllm_builder.build.diagnosis.verdict import weigh
from trtllm_builder.build.evidence import Evidence


def diagnose(lines: Iterable[tuple[int, str]], evidence: Evidence | None = None) -> Diagnosis:
    """``lines`` are numbered and cleaned (see HotLines); without ``evidence`` only the log speaks."""
    scan = Scan()
    for number, text in lines:
        scan.line(number, text)
    scan.close_message()
    end = None
    if isinstance(lines, HotLines) and (evidence is None or evidence.returncode in (0, None)):
        if (nothing := no_log(lines)) is not None:
            return Diagnosis(nothing, evidence=evidence.sentences if evidence else ())
        failed = scan.ended or scan.step or (scan.telling and not scan.findings)
        if not failed and all(one.got_over or one.signature.rank == Rank.HINT for one in scan.findings.values()):
            end = unfinished(lines)
    single_device = isinstance(lines, HotLines) and lines.single_device
    found = [_cause(finding, single_device) for finding in _ordered(scan.findings.values())]
    if end is not None:
        return Diagnosis(end, tuple(found), evidence.sentences if evidence else ())
    return weigh(found, evidence) or _unknown(scan, lines, evidence)


def diagnose_stream(stream: BinaryIO, evidence: Evidence | None = None, *, skip: int = 0) -> Diagnosis:
    """Of a log of any size, also compressed. ``skip`` bytes at its start are counted and not judged.

    Raises OSError, and ValueError for a compression that is not known."""
    lines = HotLines(stream if skip else unpacked(stream), skip=skip)
    found = diagnose(lines, evidence)
    if lines.broken:
        cut = f"The log could be read to line {lines.count} only: {lines.broken}."
        found = replace(found, evidence=(*found.evidence, cut))
    return found


def diagnose_file(path: Path, evidence: Evidence | None = None, *, skip: int = 0) -> Diagnosis:
    """Raises OSError when the log cannot be read."""
    with path.open("rb") as stream:
        return diagnose_stream(stream, evidence, skip=skip)


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The root first: of this attempt before an earlier one's, by rank, not a consequence of another, by line."""
    every = list(findings)
    if any(not one.earlier for one in every):
        every = [one for one in every if not one.earlier]
    consequences = {name for one in every for name in one.signature.explains}
    # A refused line of code may be a cause of its own, also beside a missing header; other consequences are not.
    every = [one for one in every if one.signature.rank <= Rank.PLAIN or one.signature.id not in consequences]
    # What was got over leads over its own consequences only (a download that is missing later, for one).
    others = [one for one in every if not one.got_over and one.signature.rank >= Rank.PLAIN]

    def last(one: Finding) -> bool:
        return one.got_over and any(other.signature.id not in one.signature.explains for other in others)

    every.sort(key=lambda one: (last(one), -one.signature.rank, one.signature.id in consequences, one.number))
    if every and every[0].signature.rank >= Rank.PLAIN:
        every = [one for one in every if one.signature.rank != Rank.WRAPPER]
    return every


def _cause(finding: Finding, single_device: bool) -> Cause:
    one, captured = finding.signature, finding.captured
    if one.parts:
        captured = {**captured, **look_up(captured.get("subject", ""), _component(captured) if single_device else "")}
    return Cause(
        id=one.id,
        rank=one.rank,
        sentence=_fill(one.says, captured),
        remedy=_fill(one.remedy, captured),
        lines=tuple(sorted(finding.lines, key=lambda line: line.number)),
        step=captured.get("step", ""),
        host=one.host,
    )


def _component(captured: Mapping[str, str]) -> str:
    """The directory that a file is of: upstream's components have one each."""
    file = captured.get("file") or captured.get("step") or ""
    parts = [part for part in PurePosixPath(file).parts[:-1] if part not in ("/", "..", "src", "include", "csrc")]
    return parts[-1] if parts else file or "something here"


def _fill(templates: tuple[str, ...], captured: Mapping[str, str]) -> str:
    for template in templates[:-1]:
        with suppress(KeyError):
            return template.format_map(captured)
    return templates[-1].format_map(defaultdict(lambda: "something unnamed", captured))


def _unknown(scan: Scan, lines: Iterable[tuple[int, str]], evidence: Evidence | None) -> Diagnosis:
    telling = scan.telling or scan.passed_on
    failed = bool(telling) or scan.ended or (evidence is not None and evidence.returncode not in (0, None))
    if not failed:
        last = (
            tuple(shown_line(number, text) for number, text in lines.tail[-1:]) if isinstance(lines, HotLines) else ()
        )
        sentence = "Nothing in this log looks like a failure" + ("; it ends so." if last else ".")
        return Diagnosis(Cause(NONE, Rank.HINT, sentence, "", last))
    if not telling and isinstance(lines, HotLines):
        telling = [shown_line(number, text) for number, text in lines.tail[-5:]]
    cause = Cause(
        UNKNOWN,
        Rank.HINT,
        "Why it stopped is not known; the lines that look most like an error are shown.",
        "read them in the log, the first one first; if this failure is a common one, report it with these lines",
        tuple(telling),
        scan.step_name,
    )
    return Diagnosis(cause, evidence=evidence.sentences if evidence else ())
