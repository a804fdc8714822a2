"""When each build step began and ended, as ninja tells it in its log while it works.

``.ninja_log`` (ninja's src/build_log.cc): a line ``# ninja log vN``, then ``start end mtime output hash`` with tabs,
milliseconds since that ninja started. Versions 5, 6 and 7 differ in the hash alone. A step with several outputs has a
line for each; a later line stands for an earlier one of the same output. Other programs' logs are read as empty.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_HEADER = re.compile(rb"# ninja log v([567])\r?\n")
# Thirty days, in milliseconds: what claims to have taken longer is damage.
_LONGEST = 30 * 24 * 3600 * 1000
_LARGEST = 256 * 2**20


@dataclass(frozen=True)
class Edge:
    """One build step. Milliseconds since the ninja that ran it started."""

    output: str
    start: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1000


def parse_lines(data: bytes) -> list[Edge]:
    """The steps in some lines of a log, in their order, each once however many files it makes; lines that are no
    entries are passed over."""
    edges: list[Edge] = []
    last: tuple[bytes, ...] = ()
    for line in data.split(b"\n"):
        fields = line.rstrip(b"\r").split(b"\t")
        if len(fields) != 5 or not fields[3] or not all(field.isdigit() and len(field) < 12 for field in fields[:2]):
            continue
        start, end = int(fields[0]), int(fields[1])
        step = (fields[0], fields[1], fields[4])
        if not 0 <= end - start <= _LONGEST or step == last:
            continue
        last = step
        edges.append(Edge(fields[3].decode("utf-8", "replace"), start, end))
    return edges


def read_ninja_log(path: Path) -> list[Edge]:
    """The last time that each output was made. Empty for a log that is missing, damaged or none of ninja's."""
    latest = {edge.output: edge for edge in parse_lines(_lines_of(path))}
    return list(latest.values())


def read_outputs(path: Path) -> list[str]:
    """Every file that a step made, all of a step's too. Empty as above."""
    fields = (line.rstrip(b"\r").split(b"\t") for line in _lines_of(path).split(b"\n"))
    return [one[3].decode("utf-8", "replace") for one in fields if len(one) == 5 and one[3]]


def _lines_of(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST)
    except OSError:
        return b""
    header = _HEADER.match(data)
    # What follows the last line break is still being written.
    return data[header.end() : data.rfind(b"\n") + 1] if header else b""


@dataclass(frozen=True)
class Finished:
    """A step that ended while we watched. ``ninja`` counts the ninjas that wrote this log since then, from 1."""

    edge: Edge
    ninja: int


class NinjaLogTail:
    """Steps as they end. ``known`` are those that were made before we came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known = frozenset(read_ninja_log(path))
        self._inode, self._offset = self._place()
        self._ninja = 1
        self._last_end = 0
        self._seen: set[Edge] = set()
        self.began: dict[int, float] = {}

    def _place(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return 0, 0
        return stat.st_ino, stat.st_size

    def read(self, now: float) -> list[Finished]:
        """Steps that ended since the last call. ``now`` in seconds since 1970: a step that ended did so before it,
        which bounds when its ninja began (``began``, more exact with every call)."""
        inode, size = self._place()
        if (inode, size) == (self._inode, self._offset) or not inode:
            return []
        if inode == self._inode and size > self._offset:
            fresh = self._since(self._offset)
        else:
            # Ninja writes its log anew now and then, with the last entry of each output.
            self._offset = 0
            fresh = [edge for edge in self._since(0) if edge not in self.known and edge not in self._seen]
        self._inode = inode
        found = []
        for edge in fresh:
            self._seen.add(edge)
            bound = now - edge.end / 1000
            if edge.end < self._last_end or bound > self.began.get(self._ninja, bound) + 5:
                self._ninja += 1
            self._last_end = edge.end
            self.began[self._ninja] = min(bound, self.began.get(self._ninja, bound))
            found.append(Finished(edge, self._ninja))
        return found

    def _since(self, offset: int) -> list[Edge]:
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(_LARGEST)
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1
        self._offset = offset + whole
        return parse_lines(data[:whole])


def is_object(output: str) -> bool:
    """Whether a step's output is what a compiler makes of one source file."""
    return os.path.splitext(output)[1] in (".o", ".obj")  # noqa: PTH122 - called for thousands of names
