"""The compile commands that CMake wrote down, one at a time: the file of a large build is tens of megabytes.

compile_commands.json is the JSON compilation database; CMake writes each entry's members on lines of their own, between
a line ``{`` and a line ``}`` or ``},``. A file that is laid out otherwise is read at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CompileCommand:
    """``output`` is relative to the build directory, as ninja names it; "" where the file does not say."""

    source: str
    output: str
    command: str


def read_commands(build_dir: Path) -> Iterator[CompileCommand]:
    """Raises OSError, and ValueError for a file that is no such database."""
    with (build_dir / "compile_commands.json").open(encoding="utf-8", errors="replace") as stream:
        first = stream.readline()
        if first.strip() != "[":
            yield from map(_command, json.loads(first + stream.read()))
            return
        lines: list[str] = []
        for line in stream:
            text = line.strip()
            if text == "{":
                lines = []
            elif text in ("}", "},"):
                yield _command(json.loads("{" + "".join(lines) + "}"))
                lines = []
            elif text not in ("]", ""):
                lines.append(text)
        if lines:
            raise ValueError("compile_commands.json ends within an entry")


def _command(entry: object) -> CompileCommand:
    if not isinstance(entry, dict):
        raise ValueError("compile_commands.json has an entry that is no object")
    words = entry.get("arguments")
    command = " ".join(map(str, words)) if isinstance(words, list) else str(entry.get("command", ""))
    return CompileCommand(str(entry.get("file", "")), str(entry.get("output", "")), command)
