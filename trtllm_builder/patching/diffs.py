"""Unified diffs: made for people and tools, and applied without fuzz and without offset.

Own code rather than ``git apply``: git takes another occurrence of an ambiguous context ("offset -17 lines") and,
inside another work tree, skips a file silently, both with exit status 0. Here a hunk fits at the line it names or not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.tree import relative_path

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_EXECUTABLE = "100755"
_NO_NEWLINE = "\\ No newline at end of file"
_UNWANTED = ("rename ", "copy ", "old mode ", "new mode ", "deleted file mode ", "GIT binary patch", "Binary files ")


@dataclass(frozen=True)
class Hunk:
    """``old`` lines, the first of which is line ``old_start`` (from 1), for ``new`` ones; ends of line included."""

    old_start: int
    old: tuple[str, ...]
    new_start: int
    new: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class FileDiff:
    """The hunks of one file, by its path in the tree; ``creates`` when there was none before, maybe ``executable``."""

    path: str
    creates: bool
    executable: bool
    hunks: tuple[Hunk, ...]


def parse_diff(text: str) -> list[FileDiff]:
    """The files of a unified diff with a/ and b/ paths. Raises Misfit for anything it would not carry out in full."""
    lines = _lines(text)
    found: list[FileDiff] = []
    index = 0
    mode = ""
    while index < len(lines):
        line = lines[index]
        if line.startswith("new file mode "):
            mode = line.split()[-1]
            if mode not in ("100644", _EXECUTABLE):
                what = "a symbolic link" if mode == "120000" else f"of mode {mode}"
                raise Misfit(f"the diff makes a file that is {what}; only regular files are made", index + 1)
        if line.startswith(_UNWANTED):
            raise Misfit(f"`{line.split()[0]}` is not for a patch set: it may change the text of files only", index + 1)
        if not line.startswith("--- "):
            if line.startswith("@@ "):
                raise Misfit("a hunk without its `---` and `+++` lines", index + 1)
            index += 1
            continue
        if index + 1 == len(lines) or not lines[index + 1].startswith("+++ "):
            raise Misfit("a `---` line without its `+++` line", index + 1)
        creates = _name(line) == "/dev/null"
        path = _path(lines[index + 1], index + 2)
        if not creates and _path(line, index + 1) != path:
            raise Misfit("the `---` and `+++` lines name different files", index + 1)
        index += 2
        hunks: list[Hunk] = []
        while index < len(lines) and lines[index].startswith("@@ "):
            hunk, index = _hunk(lines, index)
            hunks.append(hunk)
        if not hunks:
            raise Misfit(f"no hunk for {path}", index)
        if path in [one.path for one in found]:
            raise Misfit(f"{path} stands twice", index)
        found.append(FileDiff(path, creates, creates and mode == _EXECUTABLE, tuple(hunks)))
        mode = ""
    if not found:
        raise Misfit("there is no unified diff in this file")
    return found


def apply_diff(text: str | None, diff: FileDiff) -> Edited:
    """``text`` (None where there is no file) after the hunks. Raises Misfit for one that does not fit."""
    if diff.creates:
        whole = "".join(diff.hunks[0].new)
        if text is None:
            return Edited(whole, 1, 0)
        if text == whole:
            return Edited(text, 0, 1)
        raise Misfit("the diff creates this file, and it is there with other content")
    if text is None:
        raise Misfit("the diff changes this file, and it is not there")
    lines = _lines(text)
    if all(lines[_first(one.new_start, one.new) :][: len(one.new)] == list(one.new) for one in diff.hunks) and not (
        _fits(lines, diff)
    ):
        return Edited(text, 0, len(diff.hunks))
    edited: list[str] = []
    position = 0
    for hunk in diff.hunks:
        first = _first(hunk.old_start, hunk.old)
        if first < position or lines[first : first + len(hunk.old)] != list(hunk.old):
            raise Misfit(f"the hunk in line {hunk.line} of the diff does not fit", hunk.old_start or 1)
        edited += [*lines[position:first], *hunk.new]
        position = first + len(hunk.old)
    return Edited("".join([*edited, *lines[position:]]), len(diff.hunks), 0)


def make_diff(changes: Sequence[Change]) -> str:
    """The changes as one unified diff; what is not UTF-8 keeps its bytes as surrogates (surrogateescape)."""
    return "".join(_file_diff(change) for change in changes)


def _file_diff(change: Change) -> str:
    old = _lines((change.before or b"").decode("utf-8", "surrogateescape"))
    new = _lines(change.after.decode("utf-8", "surrogateescape"))
    head = f"diff --git a/{change.path} b/{change.path}\n"
    if change.before is None:
        head += f"new file mode {0o100755 if change.mode & 0o100 else 0o100644:o}\n"
    before = "/dev/null" if change.before is None else f"a/{change.path}"
    # A tab ends the name, so that a space in it is part of it.
    tab = "\t" if " " in change.path else ""
    body = list(difflib.unified_diff(old, new, before + tab, f"b/{change.path}{tab}"))
    return head + "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}\n" for line in body)


def _fits(lines: list[str], diff: FileDiff) -> bool:
    return all(lines[_first(one.old_start, one.old) :][: len(one.old)] == list(one.old) for one in diff.hunks)


def _first(start: int, lines: Sequence[str]) -> int:
    """Where a hunk's lines begin, from 0. A hunk without lines on one side names the line before it."""
    return start - 1 if lines else start


def _hunk(lines: list[str], index: int) -> tuple[Hunk, int]:
    head, at = _HUNK.match(lines[index]), index
    if head is None:
        raise Misfit("not the head of a hunk", at + 1)
    counts = [int(head[group]) if head[group] is not None else 1 for group in (2, 4)]
    old: list[str] = []
    new: list[str] = []
    index += 1
    while (len(old), len(new)) != (counts[0], counts[1]) or (index < len(lines) and lines[index][:1] == "\\"):
        line = lines[index] if index < len(lines) else ""
        kind, rest = line[:1], line[1:]
        if kind == "\\":
            for side, marks in ((old, " -"), (new, " +")):
                if side and lines[index - 1][:1] in marks:
                    side[-1] = side[-1].removesuffix("\n")
        elif kind not in (" ", "-", "+", "\n") or len(old) > counts[0] or len(new) > counts[1]:
            raise Misfit("the hunk has not as many lines as its head says", at + 1)
        else:
            # Some editors strip the space that stands for an empty line of context.
            text = "\n" if kind == "\n" else rest
            old += [text] if kind in " -\n" else []
            new += [text] if kind in " +\n" else []
        index += 1
    return Hunk(int(head[1]), tuple(old), int(head[3]), tuple(new), at + 1), index


def _name(line: str) -> str:
    return line[4:].rstrip("\n").split("\t")[0]


def _path(line: str, number: int) -> str:
    name = _name(line)
    front, _, path = name.partition("/")
    if front not in ("a", "b"):
        raise Misfit(f"expected a path that begins with a/ or b/, not {name!r}", number)
    try:
        return relative_path(path)
    except ValueError as error:
        raise Misfit(f"{name}: {error}", number) from None


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only a newline ends a line (``str.splitlines`` knows a dozen others)."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
