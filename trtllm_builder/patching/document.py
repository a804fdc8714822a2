"""A text file as one string, and back to bytes such that what was not edited keeps its bytes."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

# PEP 263: in one of the first two lines.
_COOKIE = re.compile(rb"\A(?:[ \t\f]*#[^\r\n]*\r?\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


@dataclass(frozen=True)
class Document:
    """``text`` has ``\\n`` line ends where the whole file had ``\\r\\n``; a file of mixed line ends keeps them all.
    ``guessed`` is true when the bytes are in no encoding that they claim."""

    text: str
    encoding: str
    mark: bytes
    crlf: bool
    guessed: bool = False

    def encode(self, text: str) -> bytes:
        """The bytes of ``text`` in this file's encoding, line ends and byte order mark. Raises ValueError."""
        if self.crlf:
            text = text.replace("\n", "\r\n")
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{error.object[error.start : error.end]!r} cannot be written in {self.encoding}"
            ) from None


def decode(data: bytes) -> Document:
    """``data`` as text: UTF-8, or what its coding comment says, or (never failing) one character a byte."""
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    body = data[len(mark) :]
    text, encoding, guessed = _decode(body)
    crlf = "\r\n" in text and text.count("\r\n") == text.count("\n") == text.count("\r")
    return Document(text.replace("\r\n", "\n") if crlf else text, encoding, mark, crlf, guessed)


def _decode(body: bytes) -> tuple[str, str, bool]:
    cookie = _COOKIE.match(body)
    for encoding in [cookie[1].decode("ascii")] if cookie else ["utf-8"]:
        try:
            text = body.decode(encoding)
            if text.encode(encoding) == body:
                return text, encoding, False
        except (UnicodeError, LookupError):
            pass
    return body.decode("latin-1"), "latin-1", True
