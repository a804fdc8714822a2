"""What differs between two wheels, explained down to member, section, GPU code and symbol.

Two passes at most: each wheel once, hashing its members; then only the members that differ. Nothing is written to
disk, and memory is bounded as in ``verify``.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from trtllm_builder.binary.fatbin_scout import Scout
from trtllm_builder.binary.findings import Findings
from trtllm_builder.binary.members import unpacking
from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.unpack import Replay, UnpackError
from trtllm_builder.binary.wheel import Member, Wheel, WheelError, read_wheel
from trtllm_builder.binary.zip_directory import Entry, read_directory
from trtllm_builder.errors import UsageError
from trtllm_builder.verify.audit import require_file
from trtllm_builder.verify.compare_archive import ArchiveChange, archive_changes
from trtllm_builder.verify.compare_elf import NOTHING, LibraryChange, Names, compare_libraries, names
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library, read_library

SCHEMA = 1
_TEXT = 1 << 20  # bytes of a text that is compared line by line
_LINES = 2000  # of a text, beyond which difflib would take long
_DIFF, _LINE = 24, 500  # lines of a difference that are kept, and characters of each
_TEXTS = 200  # members
_OWN = re.compile(r"[^/]+\.(dist-info|data)/")

Kind = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True)
class Side:
    """One of the two wheels."""

    wheel: str
    size: int
    sha256: str
    files: int


@dataclass(frozen=True)
class MemberChange:
    """``name`` is A's for what was removed, changed or moved; ``other`` B's where it differs. Sizes in bytes.

    ``library`` explains a changed ELF file, ``text`` (lines of a unified diff) a changed text.
    """

    kind: Kind
    name: str
    other: str
    size_a: int | None
    size_b: int | None
    library: LibraryChange | None = None
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """``identical``: every byte. ``architectures`` and ``needed`` are of all libraries together."""

    a: Side
    b: Side
    identical: bool
    archive: tuple[ArchiveChange, ...] = ()
    headers: tuple[tuple[str, Names], ...] = ()
    architectures: Names = NOTHING
    needed: Names = NOTHING
    members: tuple[MemberChange, ...] = ()

    @property
    def same_contents(self) -> bool:
        """Nothing that is installed differs, RECORD included; how it is packed may."""
        return not self.members

    def to_json(self) -> dict[str, object]:
        """The document of schemas/compare.json."""
        return {
            "schema": SCHEMA,
            "a": vars(self.a),
            "b": vars(self.b),
            "identical": self.identical,
            "same_contents": self.same_contents,
            "archive": [vars(one) for one in self.archive],
            "headers": {name: change.to_json() for name, change in self.headers},
            "architectures": self.architectures.to_json(),
            "needed": self.needed.to_json(),
            "members": [
                {
                    "kind": one.kind,
                    "name": one.name,
                    "other": one.other,
                    "size_a": one.size_a,
                    "size_b": one.size_b,
                    "library": one.library.to_json() if one.library else None,
                    "text": list(one.text),
                }
                for one in self.members
            ],
        }


def compare(a: Path, b: Path) -> Comparison:
    """Raises UsageError for what is no file or no wheel. Equal files are found to be so without being unpacked."""
    for path in (a, b):
        require_file(path)
    if (sha256 := _same_bytes(a, b)) is not None:
        with _opened(a) as opened:
            count = sum(not entry.directory for entry in opened.entries.values())
        size = a.stat().st_size
        return Comparison(Side(a.name, size, sha256, count), Side(b.name, size, sha256, count), identical=True)
    (side_a, wheel_a, libraries_a), (side_b, wheel_b, libraries_b) = _read(a), _read(b)
    with _opened(a) as open_a, _opened(b) as open_b:
        members = tuple(_all_explained(_changes(wheel_a, wheel_b), (wheel_a, open_a), (wheel_b, open_b)))
    return Comparison(
        side_a,
        side_b,
        identical=False,
        archive=archive_changes(a, b),
        headers=_headers(wheel_a, wheel_b),
        architectures=names(*(_targets(libraries) for libraries in (libraries_a, libraries_b))),
        needed=names(*((name for one in libraries for name in one.needed) for libraries in (libraries_a, libraries_b))),
        members=members,
    )


def _same_bytes(a: Path, b: Path) -> str | None:
    """The sha256 that both have, or None."""
    if a.stat().st_size != b.stat().st_size:
        return None
    digest = hashlib.sha256()
    with a.open("rb") as first, b.open("rb") as second:
        while piece := first.read(1 << 20):
            if piece != second.read(len(piece)):
                return None
            digest.update(piece)
    return digest.hexdigest()


def _read(path: Path) -> tuple[Side, Wheel, list[Library]]:
    libraries: list[Library] = []
    try:
        wheel = read_wheel(path, visit=lambda name, stream: libraries.append(_library(name, stream)))
    except (WheelError, OSError) as error:
        raise _unfit(path, error) from error
    return Side(path.name, wheel.size, wheel.sha256, len(wheel.members)), wheel, libraries


def _unfit(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} cannot be compared: {error}", remedy="Give the paths of two .whl files.")


def _library(name: str, stream: Stream) -> Library:
    return read_library(name, stream, Expectation(), keep=0)


def _targets(libraries: Sequence[Library]) -> Iterator[str]:
    for library in libraries:
        yield from library.cubins
        yield from library.ptx


def _headers(a: Wheel, b: Wheel) -> tuple[tuple[str, Names], ...]:
    keys = dict.fromkeys(key for key, _ in (*a.headers, *b.headers))
    return tuple((key, change) for key in keys if (change := names(a.header(key), b.header(key))))


def _changes(a: Wheel, b: Wheel) -> list[MemberChange]:
    """What is the same under the same name is left out. ``x-1.dist-info/`` and ``x-2.dist-info/`` are one name."""
    first, second = ({_plain(one.name): one for one in wheel.members} for wheel in (a, b))
    gone = [first[name] for name in sorted(first.keys() - second.keys())]
    new = {one.sha256: one for one in (second[name] for name in sorted(second.keys() - first.keys())) if one.size}
    changes: list[MemberChange] = []
    moved: set[str] = set()
    for one in gone:
        to = new.get(one.sha256) if one.sha256 else None
        if to and to.name not in moved:
            moved.add(to.name)
            changes.append(MemberChange("moved", one.name, to.name, one.size, to.size))
        else:
            changes.append(MemberChange("removed", one.name, one.name, one.size, None))
    changes += [
        MemberChange("added", second[name].name, second[name].name, None, second[name].size)
        for name in second.keys() - first.keys()
        if second[name].name not in moved
    ]
    changes += [
        MemberChange("changed", first[name].name, second[name].name, first[name].size, second[name].size)
        for name in first.keys() & second.keys()
        if _differ(first[name], second[name])
    ]
    return sorted(changes, key=lambda change: (change.name, change.kind))


def _plain(name: str) -> str:
    return _OWN.sub(lambda match: f"*.{match[1]}/", name, count=1)


def _differ(a: Member, b: Member) -> bool:
    """What could not be read is not known to be the same."""
    return a.sha256 != b.sha256 or not a.sha256 or a.size != b.size


@dataclass(frozen=True)
class _Open:
    descriptor: int
    entries: Mapping[str, Entry]

    def stream(self, name: str) -> Stream:
        """Raises UnpackError."""
        entry = self.entries[name]
        replay = Replay(unpacking(self.descriptor, entry), entry.size)
        scout = Scout(replay.remember)
        for piece in replay.pieces():
            scout.feed(piece)
        return replay


@contextmanager
def _opened(path: Path) -> Iterator[_Open]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _Open(descriptor, {entry.name: entry for entry in read_directory(descriptor, Findings())})
    except WheelError as error:
        raise _unfit(path, error) from error
    finally:
        os.close(descriptor)


def _all_explained(
    changes: Sequence[MemberChange], a: tuple[Wheel, _Open], b: tuple[Wheel, _Open]
) -> Iterator[MemberChange]:
    """What could not be read once, a bomb among others, is not tried again; and not every text is told by line."""
    read_a, read_b = ({one.name for one in wheel.members if one.sha256} for wheel, _ in (a, b))
    texts = 0
    for change in changes:
        if change.kind != "changed" or change.name not in read_a or change.other not in read_b:
            yield change
            continue
        told = _explained(change, a[1], b[1], with_text=texts < _TEXTS)
        texts += bool(told.text)
        yield told


def _explained(change: MemberChange, a: _Open, b: _Open, *, with_text: bool) -> MemberChange:
    try:
        first, second = a.stream(change.name), b.stream(change.other)
        heads = (first.read(4), second.read(4))
        if all(head == b"\x7fELF" for head in heads):
            return replace(change, library=compare_libraries(first, second))
        if with_text and max(change.size_a or 0, change.size_b or 0) <= _TEXT:
            return replace(change, text=_text(first, second))
    except UnpackError:
        pass  # that it differs is told all the same
    return change


def _text(a: Stream, b: Stream) -> tuple[str, ...]:
    first, second = _lines(a), _lines(b)
    if first is None or second is None:
        return ()
    if max(len(first), len(second)) > _LINES:
        pairs = zip_longest(first, second)
        line = next((number for number, (one, other) in enumerate(pairs, 1) if one != other), 0)
        return (f"@@ the first difference is in line {line} @@",) if line else ()
    lines = [line[:_LINE] for line in difflib.unified_diff(first, second, lineterm="", n=0)][2:]
    rest = len(lines) - _DIFF
    return (*lines[:_DIFF], f"@@ and {rest} lines more @@") if rest > 0 else tuple(lines)


def _lines(stream: Stream) -> list[str] | None:
    stream.seek(0)
    data = stream.read(_TEXT)
    return None if b"\0" in data else data.decode("utf-8", "replace").splitlines()
