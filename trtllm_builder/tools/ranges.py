"""Ranges of versions (PEP 440 specifiers) that remember how they were written."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from trtllm_builder.errors import UsageError


@dataclass(frozen=True)
class Range:
    """``>=3.27,<3.31``; empty text holds every version."""

    text: str
    specifier: SpecifierSet

    def holds(self, version: str) -> bool:
        return self.specifier.contains(Version(version), prereleases=True)

    def __str__(self) -> str:
        return self.text or "of any version"


def parse_range(text: str, name: str) -> Range:
    """Raises UsageError with a sentence; ``name`` is what the range is for."""
    try:
        return Range(text, SpecifierSet(text))
    except InvalidSpecifier:
        raise UsageError(f"{text!r} is no range of versions for {name}", remedy="write it like >=3.27,<3.31") from None
