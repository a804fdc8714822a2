"""Which C and C++ run-time a library asks for, by the versions of the symbols it needs.

Sources: PEP 600 (``manylinux_X_Y`` promises to run where glibc is X.Y or newer) and the libstdc++ versions that
auditwheel's policies allow beside each, which are those of the oldest distribution with that glibc.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.tags import Tag

from trtllm_builder.verify.library import Library

Version = tuple[int, ...]
_VERSION = re.compile(r"(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)+)")
_TAG = re.compile(r"manylinux_(\d+)_(\d+)_\w+")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
# glibc -> newest (GLIBCXX, CXXABI) there; between two rows the lower one holds.
_BESIDE: tuple[tuple[Version, Version, Version], ...] = (
    ((2, 5), (3, 4, 8), (1, 3, 1)),
    ((2, 12), (3, 4, 13), (1, 3, 3)),
    ((2, 17), (3, 4, 19), (1, 3, 7)),
    ((2, 24), (3, 4, 22), (1, 3, 10)),
    ((2, 27), (3, 4, 24), (1, 3, 11)),
    ((2, 31), (3, 4, 28), (1, 3, 12)),
    ((2, 34), (3, 4, 29), (1, 3, 13)),
    ((2, 35), (3, 4, 30), (1, 3, 13)),
    ((2, 39), (3, 4, 33), (1, 3, 15)),
)


@dataclass(frozen=True)
class Asked:
    """The newest version of each kind that something asks for; None where it asks for none."""

    glibc: Version | None = None
    glibcxx: Version | None = None
    cxxabi: Version | None = None

    @property
    def floor(self) -> Version | None:
        """The oldest glibc whose distributions have all of it; None when nothing is asked for."""
        if self == Asked():
            return None
        oldest = self.glibc or _BESIDE[0][0]
        for glibc, glibcxx, cxxabi in _BESIDE:
            if glibcxx >= (self.glibcxx or ()) and cxxabi >= (self.cxxabi or ()):
                return max(oldest, glibc)
        return max(oldest, _BESIDE[-1][0])


def asked(library: Library) -> Asked:
    """What one library asks for."""
    newest: dict[str, Version] = {}
    for _, version in library.needed_versions:
        if match := _VERSION.fullmatch(version):
            newest[match[1]] = max(newest.get(match[1], ()), tuple(map(int, match[2].split("."))))
    return Asked(newest.get("GLIBC"), newest.get("GLIBCXX"), newest.get("CXXABI"))


def together(parts: Iterable[Asked]) -> Asked:
    """The newest of each kind."""
    all_of = list(parts)
    return Asked(
        max((one.glibc for one in all_of if one.glibc), default=None),
        max((one.glibcxx for one in all_of if one.glibcxx), default=None),
        max((one.cxxabi for one in all_of if one.cxxabi), default=None),
    )


def promised(tags: Iterable[Tag]) -> Version | None:
    """The oldest glibc that the wheel's tags promise to run on; None for plain ``linux``, which promises nothing."""
    found = []
    for tag in tags:
        if match := _TAG.fullmatch(tag.platform):
            found.append((int(match[1]), int(match[2])))
        elif (legacy := tag.platform.partition("_")[0]) in _LEGACY:
            found.append(_LEGACY[legacy])
    return min(found, default=None)


def dotted(version: Version) -> str:
    """``2.34``"""
    return ".".join(map(str, version))
