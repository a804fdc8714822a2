"""Edits of plain text and of requirements files."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import RequirementsRemove, TextInsert, TextReplace

# PEP 508: a distribution's name, before extras, a version, a marker or a comment.
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:$|[\[<>=!~;@#( ])")


def replace(text: str, operation: TextReplace) -> Edited:
    """Occurrences of a text; one that is part of its own replacement was replaced before."""
    pieces = text.split(operation.with_)
    todo = sum(piece.count(operation.match) for piece in pieces)
    edited = operation.with_.join(piece.replace(operation.match, operation.with_) for piece in pieces)
    return Edited(edited, todo, len(pieces) - 1)


def insert(text: str, operation: TextInsert) -> Edited:
    """Lines beside a line."""
    lines = text.split("\n")
    new = operation.code.strip("\n").split("\n")
    wanted = operation.line.strip()
    edited: list[str] = []
    todo = done = 0
    for index, line in enumerate(lines):
        if line.strip() != wanted:
            edited.append(line)
            continue
        start = index + 1 if operation.place == "after" else index - len(new)
        if start >= 0 and lines[start : start + len(new)] == new:
            done += 1
            edited.append(line)
        else:
            todo += 1
            edited.extend([line, *new] if operation.place == "after" else [*new, line])
    return Edited("\n".join(edited), todo, done)


def remove_requirements(text: str, operation: RequirementsRemove) -> Edited:
    """Lines that ask for these projects, with the lines that a backslash joins to them."""
    unwanted = {canonicalize_name(name) for name in operation.names}
    kept: list[str] = []
    todo = 0
    dropping = False
    for line in text.split("\n"):
        joined = line.rstrip("\r").endswith("\\")
        if not dropping:
            match = _REQUIREMENT.match(line)
            dropping = match is not None and canonicalize_name(match[1]) in unwanted
            todo += dropping
        if not dropping:
            kept.append(line)
        dropping = dropping and joined
    if not any(_REQUIREMENT.match(line) for line in text.split("\n")):
        raise Misfit("this file names no requirement")
    return Edited("\n".join(kept), todo, 0 if todo else len(unwanted))
