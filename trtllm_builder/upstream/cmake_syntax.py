"""A lexer for CMake code: commands and their arguments, nothing evaluated.

The grammar is cmake-language(7): bracket and line comments, bracket, quoted and unquoted arguments, nested parentheses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPACE = re.compile(r"[ \t\r\n]+")
_BRACKET = re.compile(r"\[(=*)\[")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_UNQUOTED = re.compile(r'(?:[^\s()#"\\]|\\.|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_CONTINUED = re.compile(r"\\\r?\n")
_ESCAPE = re.compile(r"\\([^A-Za-z0-9;])")


@dataclass(frozen=True)
class Command:
    """``name`` in lower case (commands ignore case); arguments without their quotes, variables not expanded."""

    name: str
    arguments: tuple[str, ...]
    line: int


class CMakeSyntaxError(ValueError):
    """Text that is not CMake code; ``line`` is where reading stopped."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._counted_to = 0
        self._line = 1

    def line(self) -> int:
        self._line += self.text.count("\n", self._counted_to, self.at)
        self._counted_to = self.at
        return self._line

    def error(self, what: str) -> CMakeSyntaxError:
        return CMakeSyntaxError(what, self.line())

    def skip(self) -> None:
        """Past white space and comments."""
        while self.at < len(self.text):
            space = _SPACE.match(self.text, self.at)
            if space:
                self.at = space.end()
            elif self.text[self.at] == "#":
                bracket = _BRACKET.match(self.text, self.at + 1)
                if bracket:
                    self._close(bracket)
                else:
                    end = self.text.find("\n", self.at)
                    self.at = len(self.text) if end < 0 else end
            else:
                return

    def _close(self, bracket: re.Match[str]) -> str:
        closing = f"]{bracket[1]}]"
        end = self.text.find(closing, bracket.end())
        if end < 0:
            raise self.error(f"a bracket is not closed by {closing}")
        self.at = end + len(closing)
        # A newline right after the opening bracket is not part of the content.
        return re.sub(r"\A\r?\n", "", self.text[bracket.end() : end])

    def argument(self) -> str:
        bracket = _BRACKET.match(self.text, self.at)
        if bracket:
            return self._close(bracket)
        if self.text[self.at] == '"':
            quoted = _QUOTED.match(self.text, self.at)
            if not quoted:
                raise self.error("a quoted argument is not closed")
            self.at = quoted.end()
            return _ESCAPE.sub(r"\1", _CONTINUED.sub("", quoted[1]))
        unquoted = _UNQUOTED.match(self.text, self.at)
        if not unquoted:
            raise self.error(f"unexpected {self.text[self.at]!r}")
        self.at = unquoted.end()
        return _ESCAPE.sub(r"\1", unquoted[0])


def commands(text: str) -> tuple[Command, ...]:
    """All command invocations in order; nested parentheses appear as arguments ``(`` and ``)``.

    Raises CMakeSyntaxError with the line where the text stops being CMake code.
    """
    reader = _Reader(text.removeprefix("\ufeff"))
    found: list[Command] = []
    while True:
        reader.skip()
        if reader.at >= len(reader.text):
            return tuple(found)
        line = reader.line()
        name = _IDENTIFIER.match(reader.text, reader.at)
        if not name:
            raise reader.error(f"expected a command, found {reader.text[reader.at]!r}")
        reader.at = name.end()
        reader.skip()
        if not reader.text.startswith("(", reader.at):
            raise reader.error(f"expected ( after {name[0][:60]}")
        reader.at += 1
        arguments: list[str] = []
        depth = 1
        while True:
            reader.skip()
            if reader.at >= len(reader.text):
                raise reader.error(f"{name[0][:60]}( is not closed")
            mark = reader.text[reader.at]
            if mark in "()":
                reader.at += 1
                depth += 1 if mark == "(" else -1
                if not depth:
                    break
                arguments.append(mark)
            else:
                arguments.append(reader.argument())
        found.append(Command(name[0].lower(), tuple(arguments), line))
