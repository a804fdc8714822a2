"""From the lines of a log and what was measured around the build to its root cause."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from trtllm_builder.build.diagnosis.causes import SIGNATURES
from trtllm_builder.build.diagnosis.model import NONE, UNKNOWN, Cause, Diagnosis, LogLine, Rank, Signature
from trtllm_builder.build.diagnosis.packages import look_up
from trtllm_builder.build.diagnosis.reading import HotLines, begins_message, continues, unpacked
from trtllm_builder.build.diagnosis.verdict import weigh
from trtllm_builder.build.evidence import Evidence

# What ninja and make say of a step that failed, and what ends a build: consequences, never causes.
_FAILED = re.compile(r"FAILED: (?:\[code=\d+\] )?(?P<step>\S+)")
_MAKE = re.compile(r"^g?make(?:\[\d+\])?: \*\*\* \[(?:[^\]]*: )?(?P<step>[^\]\s]+)\] (?:Error \d+|Killed|Terminated)")
_ENDS = re.compile(
    r"ninja: build stopped|^g?make(?:\[\d+\])?: \*\*\*|-- Configuring incomplete|CalledProcessError"
    r"|subprocess-exited-with-error|metadata-generation-failed"
)
_BEGINS = "-- Build files have been written to"
# Words that an error's own line has, for a log whose cause is unknown; and those of lines that only pass it on.
_TELLING = re.compile(
    r"(?i:\berror\b ?:|^error\b|fatal error|\bfatal:|cmake error|exception\b.*:|\bpanic\b|\babort)"
    r"|^[A-Z]\w*Error\b|: \*\*\* "
)
_PASSED_ON = re.compile(r"CalledProcessError|\*\*\* \[|FAILED:|returned non-zero|Error \d+$")
_FALSE = re.compile(
    r"\b0 errors?\b|-W(?:no-)?error|error\.(?:c|h|o|cpp|cu|hpp|py)\b|(?:^|\s)--? ?(?:Performing|Looking)"
)
_SHOWN = 300
_LINES_A_CAUSE = 3
_FINDINGS = 40
_REACH = 40
_MESSAGE = 64 * 2**10


@dataclass
class _Finding:
    signature: Signature
    captured: dict[str, str]
    number: int
    lines: list[LogLine] = field(default_factory=list)
    earlier: bool = False


@dataclass
class _Scan:
    """What was found so far. Bounded: so many findings, so many lines each."""

    findings: dict[tuple[str, str], _Finding] = field(default_factory=dict)
    step: LogLine | None = None
    step_name: str = ""
    ended: bool = False
    telling: list[LogLine] = field(default_factory=list)
    passed_on: list[LogLine] = field(default_factory=list)
    message: list[tuple[int, str]] = field(default_factory=list)
    message_size: int = 0

    def line(self, number: int, text: str) -> None:
        # An indented line further down is no part of it: what stands between was not worth reading.
        near = bool(self.message) and number - self.message[-1][0] <= 1
        if near and continues(text) and self.message_size < _MESSAGE:
            self.message.append((number, text.strip()))
            self.message_size += len(text)
            return
        self.close_message()
        if begins_message(text):
            self.message, self.message_size = [(number, text.strip())], 0
            return
        self._judge(number, text)

    def close_message(self) -> None:
        """CMake breaks its messages over lines, and quotes the output of compilers in them: a message is judged as one
        line, and line by line when that says nothing of its own."""
        message, self.message = [one for one in self.message if one[1]], []
        # A warning is no proof of anything, whatever it quotes.
        if not message or not message[0][1].startswith("CMake Error"):
            return
        offsets, size = [], 0
        for _, text in message:
            offsets.append(size)
            size += len(text) + 1

        def shown(at: int) -> LogLine:
            return _shown(*message[bisect_right(offsets, at) - 1])

        joined = " ".join(text for _, text in message)
        rank = self._match(message[0][0], joined, shown)
        if rank is None or rank < Rank.PLAIN:
            for number, text in message[1:]:
                self._match(number, text)
        self._tell(message[0][0], joined)

    def _judge(self, number: int, text: str) -> None:
        if text.startswith(_BEGINS):
            if self.ended:
                # Configuring went well after that: what was found before ended an earlier attempt.
                self.ended = False
                for finding in self.findings.values():
                    finding.earlier = True
            return
        self._match(number, text)
        self._tell(number, text)

    def _tell(self, number: int, text: str) -> None:
        """What ended, and lines that may tell something when nothing is known."""
        if found := _FAILED.search(text) or _MAKE.search(text):
            self.step, self.step_name = _shown(number, text), source_of(found["step"])
            for finding in self.findings.values():
                if not finding.captured.get("step") and number - finding.number <= _REACH and _MAKE.search(text):
                    finding.captured["step"] = self.step_name
        if _ENDS.search(text):
            self.ended = True
        if _TELLING.search(text) and not _FALSE.search(text):
            kept = self.passed_on if _PASSED_ON.search(text) else self.telling
            if len(kept) < 8 and all(one.text != text[:_SHOWN] for one in kept):
                kept.append(_shown(number, text))

    def _match(self, number: int, text: str, shown: Callable[[int], LogLine] | None = None) -> Rank | None:
        for one in SIGNATURES:
            for pattern in one.patterns:
                if pattern.needle in text and (found := pattern.expression.search(text)):
                    at = found.start(found.lastindex or 0)
                    line = shown(at) if shown else _shown(number, text, at)
                    self._keep(one, line, found)
                    return one.rank
        return None

    def _keep(self, one: Signature, line: LogLine, found: re.Match[str]) -> None:
        number = line.number
        captured = {name: value.strip() for name, value in found.groupdict().items() if value and value.strip()}
        finding = self.findings.get((one.id, captured.get("subject", "")))
        if finding is None and "subject" not in captured:
            same = [other for other in self.findings.values() if other.signature is one and not other.earlier]
            finding = same[-1] if same else None
        if finding is None and "subject" in captured:
            # An earlier line of the same failure may have named nothing.
            nameless = self.findings.get((one.id, ""))
            if nameless is not None and not nameless.earlier and number - nameless.number <= _REACH:
                finding = self.findings.pop((one.id, ""))
                self.findings[(one.id, captured["subject"])] = finding
        if finding is None or finding.earlier:
            if len(self.findings) >= _FINDINGS:
                return
            finding = _Finding(one, {}, number)
            self.findings[(one.id, captured.get("subject", ""))] = finding
            if self.step is not None and number - self.step.number <= 6:
                finding.captured["step"] = self.step_name
                finding.lines.append(self.step)
        for name, value in captured.items():
            finding.captured.setdefault(name, source_of(value) if name == "step" else value)
        if len(finding.lines) < _LINES_A_CAUSE + 1 and all(other.text != line.text for other in finding.lines):
            finding.lines.append(line)


def diagnose(lines: Iterable[tuple[int, str]], evidence: Evidence | None = None) -> Diagnosis:
    """``lines`` are numbered and cleaned (see HotLines); without ``evidence`` only the log speaks."""
    scan = _Scan()
    for number, text in lines:
        scan.line(number, text)
    scan.close_message()
    found = [_cause(finding) for finding in _ordered(scan.findings.values())]
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


def _ordered(findings: Iterable[_Finding]) -> list[_Finding]:
    """The root first: of this attempt before an earlier one's, by rank, not a consequence of another, by line."""
    every = list(findings)
    if any(not one.earlier for one in every):
        every = [one for one in every if not one.earlier]
    consequences = {name for one in every for name in one.signature.explains}
    # A refused line of code may be a cause of its own, also beside a missing header; other consequences are not.
    every = [one for one in every if one.signature.rank <= Rank.PLAIN or one.signature.id not in consequences]
    every.sort(key=lambda one: (-one.signature.rank, one.signature.id in consequences, one.number))
    if every and every[0].signature.rank >= Rank.PLAIN:
        every = [one for one in every if one.signature.rank != Rank.WRAPPER]
    return every


def _cause(finding: _Finding) -> Cause:
    one, captured = finding.signature, finding.captured
    if one.parts:
        captured = {**captured, **look_up(captured.get("subject", ""))}
    return Cause(
        id=one.id,
        rank=one.rank,
        sentence=_fill(one.says, captured),
        remedy=_fill(one.remedy, captured),
        lines=tuple(sorted(finding.lines, key=lambda line: line.number)),
        step=captured.get("step", ""),
        host=one.host,
    )


def _fill(templates: tuple[str, ...], captured: Mapping[str, str]) -> str:
    for template in templates[:-1]:
        with suppress(KeyError):
            return template.format_map(captured)
    return templates[-1].format_map(defaultdict(lambda: "something unnamed", captured))


def _unknown(scan: _Scan, lines: Iterable[tuple[int, str]], evidence: Evidence | None) -> Diagnosis:
    telling = scan.telling or scan.passed_on
    failed = bool(telling) or scan.ended or (evidence is not None and evidence.returncode not in (0, None))
    if not failed:
        last = tuple(_shown(number, text) for number, text in lines.tail[-1:]) if isinstance(lines, HotLines) else ()
        sentence = "Nothing in this log looks like a failure" + ("; it ends so." if last else ".")
        return Diagnosis(Cause(NONE, Rank.HINT, sentence, "", last))
    if not telling and isinstance(lines, HotLines):
        telling = [_shown(number, text) for number, text in lines.tail[-5:]]
    cause = Cause(
        UNKNOWN,
        Rank.HINT,
        "Why it stopped is not known; the lines that look most like an error are shown.",
        "read them in the log, the first one first; if this failure is a common one, report it with these lines",
        tuple(telling),
        scan.step_name,
    )
    return Diagnosis(cause, evidence=evidence.sentences if evidence else ())


def source_of(target: str) -> str:
    """``cpp/CMakeFiles/kernels.dir/foo.cu.o`` is made from ``foo.cu``."""
    name = re.sub(r"^.*\.dir/", "", target)
    return re.sub(r"\.(?:o|obj)$", "", name)


def _shown(number: int, text: str, at: int = 0) -> LogLine:
    """Cut around what matters."""
    text = text.strip() if at < _SHOWN else text
    if len(text) > _SHOWN:
        start = max(0, at - 80) if at > _SHOWN - 100 else 0
        text = ("... " if start else "") + text[start : start + _SHOWN] + (" ..." if start + _SHOWN < len(text) else "")
    return LogLine(number, text)
