"""Compares the flags read from build_wheel.py's syntax with what its ``--help`` says when it is run.

argparse takes any unambiguous prefix of a flag, so a wrong name may be silently taken for another: only this comparison
shows that what we read is what the script has. Formats: argparse's ``HelpFormatter`` of Python 3.10 to 3.13. Until 3.12
each spelling is followed by its values (``--jobs [N], -j [N]``); from 3.13 only the last is (``--jobs, -j [N]``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trtllm_builder.upstream.model import Flag

# An option's line is indented by exactly two spaces; wrapped help text by more.
_OPTION = re.compile(r"  (-\S.*)\Z")
_HELP = frozenset({"-h", "--help"})


@dataclass(frozen=True)
class Difference:
    """``kind``: ``only in help``, ``only in script`` or ``values``; ``line`` is the script's, 0 when it has none."""

    kind: str
    flag: str
    what: str
    line: int = 0


@dataclass(frozen=True)
class HelpFlag:
    """One option as the help text shows it."""

    spellings: tuple[str, ...]
    arity: str


def parse_help(text: str) -> tuple[HelpFlag, ...]:
    """The options of a ``--help`` text, ``-h`` left out."""
    found = []
    for line in text.splitlines():
        match = _OPTION.match(line)
        if match:
            flag = _parse_invocation(match[1])
            if not _HELP & set(flag.spellings):
                found.append(flag)
    return tuple(found)


def _parse_invocation(text: str) -> HelpFlag:
    # The help text follows after two or more spaces, or stands on the next line.
    invocation = re.split(r"\s{2,}", text, maxsplit=1)[0]
    spellings = []
    values = ""
    for part in re.split(r", (?=-)", invocation):
        spelling, _, values = part.partition(" ")
        spellings.append(spelling)
    return HelpFlag(tuple(spellings), _arity(values.strip()))


def _arity(values: str) -> str:
    if not values:
        return "0"
    if values == "...":
        return "..."
    if values.endswith(" ...]"):
        return "*" if values.startswith("[") else "+"
    if values.startswith("["):
        return "?"
    # {a,b} holds no spaces unless a choice does.
    return str(len(re.sub(r"\{[^}]*\}", "X", values).split()))


def compare_help(flags: Sequence[Flag], help_text: str) -> tuple[Difference, ...]:
    """All differences; none means that the text and ``--help`` agree on every spelling and how many values it takes."""
    shown = {spelling: flag for flag in parse_help(help_text) for spelling in flag.spellings}
    read = {spelling: flag for flag in flags for spelling in flag.spellings}
    differences = []
    for spelling, help_flag in shown.items():
        if spelling not in read:
            what = f"--help shows {spelling}, which was not found in the script's text"
            differences.append(Difference("only in help", spelling, what))
        elif _told_apart(read[spelling].arity) != help_flag.arity:
            flag = read[spelling]
            what = f"{spelling} takes {_words(flag.arity)} by its text, {_words(help_flag.arity)} by --help"
            differences.append(Difference("values", spelling, what, flag.line))
    for spelling, flag in read.items():
        if spelling not in shown and not flag.hidden:
            what = f"the script's text registers {spelling}, which --help does not show"
            differences.append(Difference("only in script", spelling, what, flag.line))
    return tuple(differences)


def _told_apart(arity: str) -> str:
    return "..." if arity == "REMAINDER" else arity


def _words(arity: str) -> str:
    names = {"0": "no value", "1": "one value", "?": "an optional value", "*": "any values", "+": "one or more values"}
    return names.get(arity, f"{arity} values")
