"""What the compile cache found, call by call, while a build goes on.

With ``CCACHE_STATSLOG`` ccache appends to a file, for each call, ``# SOURCE`` and the names of the counters that it
raised (manual ccache(1), "stats_log"). The source is relative to the compiler's directory when ``base_dir`` is set.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_HITS = frozenset({b"direct_cache_hit", b"preprocessed_cache_hit"})
_FAILURES = frozenset({b"remote_storage_error", b"remote_storage_timeout"})
# For ccache a comment, like its own lines that name a source.
_BEGUN = b"# trtllm-builder begins to compile"


def note_begin(path: Path) -> None:
    """Write down that what follows is compiled by a new start of the build, which compiles again what the last one
    had not finished."""
    with path.open("ab") as stream:
        stream.write(b"\n" + _BEGUN + b"\n")


@dataclass
class _Call:
    """``hit`` is None while, or when, it was no compilation; ``served`` whether a server gave something for it."""

    hit: bool | None = None
    served: bool = False


@dataclass
class CacheLog:
    """The calls since this object was made; ``hit`` is the last answer for each source file, whose whole path it has.
    ``remote_failures`` are the calls that a server did not answer. ``directory`` is where the compilers run.

    A source's calls are told apart by their number only: its second one is that of a second object, but after a new
    start (``note_begin``) its first one takes the place of the first one before.
    """

    path: Path
    directory: Path
    remote_failures: int = 0
    hit: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._offset = self.path.stat().st_size
        except OSError:
            self._offset = 0
        self._source = ""
        self._call = _Call()
        self._calls: dict[tuple[str, int], _Call] = {}
        self._number: Counter[str] = Counter()

    @property
    def hits(self) -> int:
        return sum(call.hit is True for call in self._calls.values())

    @property
    def misses(self) -> int:
        return sum(call.hit is False for call in self._calls.values())

    @property
    def remote_hits(self) -> int:
        """The hits that a server gave."""
        return sum(call.served and call.hit is True for call in self._calls.values())

    @property
    def unusable(self) -> int:
        """The calls for which a server gave what ccache could not use, so that they were compiled."""
        return sum(call.served and call.hit is False for call in self._calls.values())

    def whole(self) -> None:
        """Take in all of the file, what was there before too."""
        self._offset = 0
        self.read()

    def read(self) -> None:
        """Take in what was added since the last time; a file that is not there adds nothing."""
        try:
            if self.path.stat().st_size == self._offset:
                return
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        for line in data[:whole].splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        if line == _BEGUN:
            self._number.clear()
        elif line.startswith(b"# "):
            named = line[2:].decode("utf-8", "replace")
            self._source = os.path.normpath(os.path.join(self.directory, named))  # noqa: PTH118 - no link followed
            self._call = self._calls[self._source, self._number[self._source]] = _Call()
            self._number[self._source] += 1
        elif line in _HITS or line == b"cache_miss":
            self.hit[self._source] = self._call.hit = line in _HITS
        elif line == b"remote_storage_hit":
            self._call.served = True
        elif line in _FAILURES:
            self.remote_failures += 1
