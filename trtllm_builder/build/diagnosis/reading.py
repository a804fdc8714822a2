"""The lines of a log that may matter, from a stream of any size, in bounded memory.

Whole blocks are searched for a few words that every known failure uses; only lines with such a word are looked at.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO, Protocol

from trtllm_builder.text import clean, redact

_BLOCK = 2**20
_LONGEST = 8 * 2**10
_OVERLAP = 4 * 2**10
_TAIL = 16 * 2**10
_SAMPLE = 8 * 2**10
# Upstream's CMakeLists passes it to every compiler as well, so a failed step's command shows it.
_SINGLE_DEVICE = re.compile(rb"ENABLE_MULTI_DEVICE(?::\w+)?=(?:0|OFF)\b")
# Of a message that CMake breaks over lines, at most so many are read.
_MESSAGE_LINES = 1000
# One of these is on every line that a signature matches. Few and short: each is looked for in the whole log.
WORDS = (
    *(b"error", b"fatal", b"kill", b"fail", b"no ", b"not ", b"denied", b"interrupt", b"terminate", b"hangup", b"***"),
    *(b"undefined", b"exhausted", b"read-only", b"busy", b"quota", b"skew", b"mismatch", b"git-lfs", b"truncated"),
    *(b"too ", b"out of mem", b"unavailable", b"segmentation", b"bad_alloc", b"wrote only", b"unexpected", b"required"),
    b"build files have been",
    # Questions that wait for an answer.
    *(b"name for '", b"password", b"passphrase", b"[y/n", b"(yes/no", b"geographic"),
)
# In the commands of a verbose log these are flags and say nothing.
_FLAGS = (b"-werror", b"no-error", b"--fatal-warnings")
# After so many lines with such words, only those that differ from all others by more than digits are looked at.
_ENOUGH = 20_000
_DIGITS = b"0123456789"
# The one message of CMake's that is not indented: variables that are NOTFOUND, each on a line (recorded
# with CMake 3.25).
_NOT_INDENTED = re.compile(r"Please set them or make sure they are set|[A-Za-z]\w*_\w+(?: \(ADVANCED\))?\Z")
# What other programs put before each line: Docker, GitHub, Jenkins, Kubernetes (RFC 3339 times), BuildKit, journald.
_STAMP = re.compile(
    r"(?:[^\t\n]{1,80}\t[^\t\n]{1,80}\t)?\ufeff?"
    r"(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?(?: (?:std(?:out|err) "
    r"[FP]|\d\d[OE]))? "
    r"|(?:#\d+ )?\d+\.\d{1,3}(?: |\Z)|\[?\d\d:\d\d:\d\d(?:\.\d+)?\]? "
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [\w.@/-]+\[\d+\]: )?"
)


class Readable(Protocol):
    """What is asked of an open log."""

    def read(self, size: int, /) -> bytes: ...


def plain(data: bytes) -> str:
    """A line as a person would have seen it: no stamps, escapes or credentials."""
    text = data.decode("utf-8", "replace")
    if not text.isprintable():
        text = clean(text)
    if "://" in text or "=" in text:
        text = redact(text)
    # Twice: a CI that stamps the lines of a docker that stamps its own.
    for _ in range(2):
        if stamp := _STAMP.match(text):
            text = text[stamp.end() :]
    return text


def continues(text: str) -> bool:
    """Whether a line that follows one of a message of CMake's belongs to it."""
    return not text.strip() or text.startswith("  ") or _NOT_INDENTED.match(text) is not None


def begins_message(text: str) -> bool:
    return text.startswith(("CMake Error", "CMake Warning", "CMake Deprecation Warning"))


def unpacked(stream: BinaryIO) -> Readable:
    """The stream, decompressed when it begins like gzip, bzip2 or xz, and as UTF-8 when it is UTF-16 (PowerShell's
    redirection writes that). Raises ValueError for zstd."""
    buffered = io.BufferedReader(stream) if isinstance(stream, io.RawIOBase) else stream
    start = buffered.peek(6)[:6] if isinstance(buffered, io.BufferedReader) else b""
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=buffered)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(buffered)
    if start.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(buffered)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise ValueError("it is compressed with zstd, which Python 3.10 to 3.13 cannot unpack: `zstd -dc` can")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return codecs.EncodedFile(buffered, "utf-8", "utf-16", errors="replace")
    return buffered


def _pieces(buffer: bytes) -> list[tuple[int, int]]:
    """Where the lines with such a word begin and end; of a very long line only the surroundings of the word."""
    lowered = buffer.lower()
    for flag in _FLAGS:
        lowered = lowered.replace(flag, b"-" * len(flag))
    found: dict[int, int] = {}
    for word in WORDS:
        at = lowered.find(word)
        while at >= 0:
            before = lowered.rfind(b"\n", max(0, at - _LONGEST), at)
            start = before + 1 if before >= 0 or at <= _LONGEST else at - 512
            end = lowered.find(b"\n", at, at + _LONGEST)
            end = min(len(buffer), at + _LONGEST) if end < 0 else end
            found.setdefault(start, end)
            at = lowered.find(word, end)
    return sorted(found.items())


def _says(piece: bytes) -> bool:
    lowered = piece.lower()
    return any(word in lowered for word in WORDS)


class HotLines:
    """Iterating gives ``(number, text)`` of lines that may matter; afterwards ``count`` is the number of lines,
    ``tail`` the last lines that say something, ``broken`` what stopped a compressed stream early, ``sample`` the first
    few thousand bytes, and ``single_device`` whether a command in it switches multi-device code off.

    ``skip`` bytes at the start are counted and not judged: an earlier run wrote them.
    """

    def __init__(self, stream: Readable, *, skip: int = 0) -> None:
        self.count = 0
        self.broken = ""
        self.sample = b""
        self.single_device = False
        self._skip = skip
        self._stream = stream
        self._number = 1
        self._message = 0
        self._last = b""
        self._looked_at = 0
        self._shapes: set[bytes] = set()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        carry = b""
        for block in self._blocks():
            buffer = carry + block
            cut = buffer.rfind(b"\n") + 1
            if cut == 0 and len(buffer) < _BLOCK:
                carry = buffer
                continue
            if cut == 0:
                # A line longer than a block is read piece by piece; pieces overlap, so that no word is cut in two.
                yield from self._hot(buffer)
                carry = buffer[-_OVERLAP:]
                continue
            yield from self._hot(buffer[:cut])
            carry = buffer[cut:]
        if carry:
            yield from self._hot(carry)
        self.count = self._number - (0 if carry else 1)

    @property
    def tail(self) -> list[tuple[int, str]]:
        lines = self._last.decode("utf-8", "replace").split("\n")
        if lines and not lines[-1]:
            lines.pop()
        first = self.count - len(lines) + 1
        told = [(first + index, plain(line.encode())) for index, line in enumerate(lines)]
        return [(number, text.strip()) for number, text in told if number > 0 and text.strip()]

    def _blocks(self) -> Iterator[bytes]:
        left = self._skip
        while left > 0 and (block := self._stream.read(min(_BLOCK, left))):
            left -= len(block)
            self._number += block.count(b"\n")
        while True:
            try:
                block = self._stream.read(_BLOCK)
            except (EOFError, OSError, lzma.LZMAError, zlib.error, UnicodeError) as error:
                self.broken = str(error) or type(error).__name__
                return
            if not block:
                return
            yield block

    def _hot(self, buffer: bytes) -> Iterator[tuple[int, str]]:
        self._last = (self._last + buffer)[-_TAIL:] if len(buffer) < _TAIL else buffer[-_TAIL:]
        # A log that was emptied while a program wrote to it begins with a hole.
        self.sample = self.sample or buffer.lstrip(b"\0")[:_SAMPLE]
        if not self.single_device and b"ENABLE_MULTI_DEVICE" in buffer:
            self.single_device = _SINGLE_DEVICE.search(buffer) is not None
        counted = done = 0
        if self._message:
            counted = done = yield from self._rest_of_message(buffer, 0)
        for start, end in _pieces(buffer):
            if start < done:
                continue
            self._number += buffer.count(b"\n", counted, start)
            counted, done = start, end
            line = buffer[start:end].rstrip(b"\r")
            for piece in line.split(b"\r") if b"\r" in line else (line,):
                if piece is not line and not _says(piece):
                    continue
                if self._known(piece):
                    continue
                text = plain(piece)
                yield self._number, text
                if begins_message(text):
                    self._message = _MESSAGE_LINES
            if self._message and buffer[end : end + 1] == b"\n":
                self._number += 1
                counted = done = yield from self._rest_of_message(buffer, end + 1)
        self._number += buffer.count(b"\n", counted)

    def _known(self, piece: bytes) -> bool:
        self._looked_at += 1
        if self._looked_at <= _ENOUGH:
            return False
        shape = piece[:200].translate(None, _DIGITS)
        if shape in self._shapes:
            return True
        if len(self._shapes) < _ENOUGH:
            self._shapes.add(shape)
        return False

    def _rest_of_message(self, buffer: bytes, start: int) -> Generator[tuple[int, str], None, int]:
        """The indented and the empty lines that follow: a message of CMake's. Returns where it ended."""
        while self._message and start < len(buffer):
            end = buffer.find(b"\n", start)
            if end < 0 or end - start > _LONGEST:
                self._message = 0
                break
            text = plain(buffer[start:end].rstrip(b"\r").rpartition(b"\r")[2])
            if not continues(text):
                self._message = 0
                break
            yield self._number, text
            self._message -= 1
            self._number += 1
            start = end + 1
        return start
