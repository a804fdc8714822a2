"""What the compile cache found, call by call, while a build goes on.

With ``CCACHE_STATSLOG`` ccache appends to a file, for each call, ``# SOURCE`` and the names of the counters that it
raised (manual ccache(1), "stats_log"). The source is relative to the compiler's directory when ``base_dir`` is set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

_HITS = frozenset({b"direct_cache_hit", b"preprocessed_cache_hit"})
_FAILURES = frozenset({b"remote_storage_error", b"remote_storage_timeout"})


@dataclass
class CacheLog:
    """``hits`` and ``misses`` since this object was made; ``hit`` is the last answer for each source file, whose whole
    path it has. ``remote_hits`` are the hits that a server gave, ``remote_failures`` the calls that it did not answer.
    ``directory`` is where the compilers run."""

    path: Path
    directory: Path
    hits: int = 0
    misses: int = 0
    remote_hits: int = 0
    remote_failures: int = 0
    hit: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._offset = self.path.stat().st_size
        except OSError:
            self._offset = 0
        self._source = ""

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
            if line.startswith(b"# "):
                named = line[2:].decode("utf-8", "replace")
                self._source = os.path.normpath(os.path.join(self.directory, named))  # noqa: PTH118 - no link followed
            elif line in _HITS or line == b"cache_miss":
                hit = line in _HITS
                self.hit[self._source] = hit
                self.hits += hit
                self.misses += not hit
            elif line == b"remote_storage_hit":
                self.remote_hits += 1
            elif line in _FAILURES:
                self.remote_failures += 1
