"""What is found in the lines of a log, one after another: matches of signatures, failed steps, telling lines."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from trtllm_builder.build.diagnosis.causes import SIGNATURES
from trtllm_builder.build.diagnosis.model import LogLine, Rank, Signature
from trtllm_builder.build.diagnosis.reading import begins_message, continues

# What ninja and make say of a step that failed, and what ends a build: consequences, never causes.
_FAILED = re.compile(r"FAILED: (?:\[code=\d+\] )?(?P<step>\S+)")
_MAKE = re.compile(r"^g?make(?:\[\d+\])?: \*\*\* \[(?:[^\]]*: )?(?P<step>[^\]\s]+)\] (?:Error \d+|Killed|Terminated)")
_ENDS = re.compile(
    r"ninja: build stopped|^g?make(?:\[\d+\])?: \*\*\*|-- Configuring incomplete|CalledProcessError"
    r"|subprocess-exited-with-error|metadata-generation-failed"
)
_BEGINS = "-- Build files have been written to"
_PART_OF_CONFIGURING = re.compile(r"-subbuild/?$|/_deps/|/CMakeFiles/")
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
class Finding:
    signature: Signature
    captured: dict[str, str]
    number: int
    lines: list[LogLine] = field(default_factory=list)
    earlier: bool = False
    got_over: bool = False


@dataclass
class Scan:
    """What was found so far. Bounded: so many findings, so many lines each."""

    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
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
            return shown_line(*message[bisect_right(offsets, at) - 1])

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
            elif not _PART_OF_CONFIGURING.search(text):
                self._went_on()
            return
        if (failed := _FAILED.search(text) or _MAKE.search(text)) and failed["step"].endswith((".o", ".obj")):
            self._went_on()
        self._match(number, text)
        self._tell(number, text)

    def _went_on(self) -> None:
        """Compiling began, and nothing had ended the build: what goes before compiling was got over."""
        if not self.ended:
            for finding in self.findings.values():
                finding.got_over |= finding.signature.settled and not finding.captured.get("step")

    def _tell(self, number: int, text: str) -> None:
        """What ended, and lines that may tell something when nothing is known."""
        if found := _FAILED.search(text) or _MAKE.search(text):
            self.step, self.step_name = shown_line(number, text), source_of(found["step"])
            for finding in self.findings.values():
                if not finding.captured.get("step") and number - finding.number <= _REACH and _MAKE.search(text):
                    finding.captured["step"] = self.step_name
        if _ENDS.search(text):
            self.ended = True
        if _TELLING.search(text) and not _FALSE.search(text):
            kept = self.passed_on if _PASSED_ON.search(text) else self.telling
            if len(kept) < 8 and all(one.text != text[:_SHOWN] for one in kept):
                kept.append(shown_line(number, text))

    def _match(self, number: int, text: str, shown: Callable[[int], LogLine] | None = None) -> Rank | None:
        for one in SIGNATURES:
            for pattern in one.patterns:
                if pattern.needle in text and (found := pattern.expression.search(text)):
                    at = found.start(found.lastindex or 0)
                    line = shown(at) if shown else shown_line(number, text, at)
                    if one.id == "compile-error" and shown is None:
                        self._went_on()
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
            finding = Finding(one, {}, number)
            self.findings[(one.id, captured.get("subject", ""))] = finding
            # A line that names its step itself says nothing of the one that failed before it.
            if self.step is not None and "step" not in captured and number - self.step.number <= 6:
                finding.captured["step"] = self.step_name
                finding.lines.append(self.step)
        for name, value in captured.items():
            finding.captured.setdefault(name, source_of(value) if name == "step" else value)
        if len(finding.lines) < _LINES_A_CAUSE + 1 and all(other.text != line.text for other in finding.lines):
            finding.lines.append(line)


def source_of(target: str) -> str:
    """``cpp/CMakeFiles/kernels.dir/foo.cu.o`` is made from ``foo.cu``."""
    name = re.sub(r"^.*\.dir/", "", target)
    return re.sub(r"\.(?:o|obj)$", "", name)


def shown_line(number: int, text: str, at: int = 0) -> LogLine:
    """Cut around what matters."""
    text = text.strip() if at < _SHOWN else text
    if len(text) > _SHOWN:
        start = max(0, at - 80) if at > _SHOWN - 100 else 0
        text = ("... " if start else "") + text[start : start + _SHOWN] + (" ..." if start + _SHOWN < len(text) else "")
    return LogLine(number, text)
