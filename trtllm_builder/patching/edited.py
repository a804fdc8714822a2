"""What one operation made of one text, and how it says that it does not fit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edited:
    """``todo`` places were edited to give ``text``; ``done`` places were found as the edit would leave them."""

    text: str
    todo: int
    done: int


class Misfit(Exception):
    """Not this shape: a sentence, and line and column (from 1) if there are any."""

    def __init__(self, what: str, line: int = 1, column: int = 1) -> None:
        super().__init__(what)
        self.what = what
        self.line = line
        self.column = column
