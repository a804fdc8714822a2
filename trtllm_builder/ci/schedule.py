"""Schedules of GitHub's, before GitHub refuses them: five fields of cron.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#schedule
"""

from __future__ import annotations

import re

from trtllm_builder.errors import UsageError

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# What it is, the least and the greatest value, names for values from the least on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_ITEM = re.compile(r"(?:\*|(\w{1,3})(?:-(\w{1,3}))?)(?:/(\d{1,2}))?", re.ASCII)


def require_cron(text: str) -> None:
    """Raises UsageError for what is no schedule, naming the field."""
    fields = text.split(" ")
    if len(fields) != len(_FIELDS):
        raise UsageError(f"--schedule {text!r} is not five fields of cron", remedy="such as '17 2 * * *'")
    for field, (what, least, most, names) in zip(fields, _FIELDS, strict=True):
        if not all(_fits(item, least, most, names) for item in field.split(",")):
            named = f", or {names[0]} to {names[-1]}" if names else ""
            raise UsageError(
                f"--schedule {text!r}: {field!r} is no {what}, which is {least} to {most}{named}",
                remedy="such as '17 2 * * *', every night at 2:17 UTC",
            )


def _fits(item: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    found = _ITEM.fullmatch(item)
    if not found:
        return False
    values = []
    for word in (found[1], found[2]):
        if word is not None:
            number = int(word) if word.isdigit() else least + names.index(word.upper()) if word.upper() in names else -1
            values.append(number)
    return values == sorted(values) and all(least <= one <= most for one in values) and found[3] not in ("0", "00")
