"""Where a profile's value stands, for the plan's "why" and for errors that point at it."""

from __future__ import annotations

from trtllm_builder.errors import Where
from trtllm_builder.profile.model import Profile


def origin(profile: Profile, path: str) -> str:
    """``file:line:column``, ``--set``, or ``default`` for the dotted ``path`` or the nearest value above it."""
    while path:
        if path in profile.origins:
            return profile.origins[path]
        path = path.rpartition(".")[0]
    return "default"


def where(profile: Profile, path: str) -> Where:
    """The same as a place, for an error; a value that stands in no file is at 1:1 of the profile's name."""
    file, _, rest = origin(profile, path).partition(":")
    numbers = rest.split(":")
    if len(numbers) >= 2 and all(number.isdigit() for number in numbers[-2:]):
        head = ":".join([file, *numbers[:-2]])
        return Where(head, int(numbers[-2]), int(numbers[-1]))
    return Where(profile.name)
