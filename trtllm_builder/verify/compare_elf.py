"""What differs between two builds of one library: sections, GPU code, symbols, and what it asks the loader for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trtllm_builder.binary.elf import Elf, ElfError, read_elf
from trtllm_builder.binary.fatbin import Entry, FatbinError, read_fatbin
from trtllm_builder.binary.kernels import kernel_names
from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.unpack import UnpackError

_PIECE = 1 << 20
_FATBINS = (".nv_fatbin", "__nv_relfatbin")
_NAMED = 32  # pieces of GPU code in which kernels are looked for, on each side
_DAMAGE = (ElfError, FatbinError, UnpackError)


@dataclass(frozen=True)
class Names:
    """What only one of the two has, sorted."""

    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.only_a or self.only_b)

    def to_json(self) -> dict[str, object]:
        return {"only_a": list(self.only_a), "only_b": list(self.only_b)}


NOTHING = Names()


@dataclass(frozen=True)
class SectionChange:
    """Sizes in bytes; None where there is no such section."""

    name: str
    size_a: int | None
    size_b: int | None


@dataclass(frozen=True)
class CodeChange:
    """Pieces of GPU code for one target that only one side has: how many, bytes as stored, and their kernels.

    ``kernels`` are mangled names that occur in them, empty where they were too many to look into.
    """

    target: str
    kind: str
    count_a: int
    count_b: int
    size_a: int
    size_b: int
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True)
class LibraryChange:
    """``unread`` says why one of the two could not be read; then the rest is empty. ``search`` are run paths."""

    sections: tuple[SectionChange, ...] = ()
    code: tuple[CodeChange, ...] = ()
    needed: Names = NOTHING
    versions: Names = NOTHING
    undefined: Names = NOTHING
    defined: Names = NOTHING
    search: Names = NOTHING
    soname: Names = NOTHING
    unread: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "sections": [{"name": s.name, "size_a": s.size_a, "size_b": s.size_b} for s in self.sections],
            "code": [{**vars(one), "kernels": list(one.kernels)} for one in self.code],
            **{name: names.to_json() for name, names in self.sets().items()},
            "unread": self.unread,
        }

    def sets(self) -> dict[str, Names]:
        """By name: what libraries, versions, symbols and paths differ."""
        return {
            "needed": self.needed,
            "versions": self.versions,
            "undefined": self.undefined,
            "defined": self.defined,
            "search": self.search,
            "soname": self.soname,
        }


def names(a: Iterable[str], b: Iterable[str]) -> Names:
    """As sets."""
    first, second = set(a), set(b)
    return Names(tuple(sorted(first - second)), tuple(sorted(second - first)))


@dataclass(frozen=True)
class _Code:
    """A piece of GPU code: its digest stands for its bytes as stored."""

    entry: Entry
    digest: bytes


def compare_libraries(a: Stream, b: Stream) -> LibraryChange:
    """Both streams are read about twice, in order. Damage is told, not raised."""
    sides: list[tuple[Elf, list[tuple[str, int, bytes]], list[_Code]]] = []
    for which, stream in (("A", a), ("B", b)):
        try:
            elf = read_elf(stream)
            sections = [
                (section.name, section.size, _digest(stream, section.offset, section.size))
                for section in sorted(elf.sections, key=lambda one: one.offset)
                if section.name
            ]
            sides.append((elf, sections, _pieces(elf, stream)))
        except _DAMAGE as error:
            return LibraryChange(unread=f"{which}: {error}")
    (elf_a, sections_a, code_a), (elf_b, sections_b, code_b) = sides
    return LibraryChange(
        sections=_sections(sections_a, sections_b),
        code=_code(code_a, code_b, a, b),
        needed=names(elf_a.needed, elf_b.needed),
        versions=names(*(map(" ".join, elf.needed_versions) for elf in (elf_a, elf_b))),
        undefined=names(*((symbol.name for symbol in elf.undefined) for elf in (elf_a, elf_b))),
        defined=names(*((symbol.name for symbol in elf.defined) for elf in (elf_a, elf_b))),
        search=names(*((*elf.rpath, *elf.runpath) for elf in (elf_a, elf_b))),
        soname=names(*(filter(None, [elf.soname]) for elf in (elf_a, elf_b))),
    )


def _digest(stream: Stream, offset: int, size: int) -> bytes:
    digest = hashlib.sha256()
    stream.seek(offset)
    while size > 0 and (piece := stream.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest.digest()


def _pieces(elf: Elf, stream: Stream) -> list[_Code]:
    found = [
        entry
        for section in sorted(elf.named(*_FATBINS), key=lambda one: one.offset)
        for entry in read_fatbin(stream, section.offset, section.offset + section.size)
    ]
    return [_Code(entry, _digest(stream, entry.offset, entry.size)) for entry in found]


def _sections(a: Sequence[tuple[str, int, bytes]], b: Sequence[tuple[str, int, bytes]]) -> tuple[SectionChange, ...]:
    """Sections of one name are paired in order."""
    changes = []
    for name in dict.fromkeys(one[0] for one in (*a, *b)):
        first, second = ([one[1:] for one in side if one[0] == name] for side in (a, b))
        for number in range(max(len(first), len(second))):
            left = first[number] if number < len(first) else None
            right = second[number] if number < len(second) else None
            if left != right:
                changes.append(SectionChange(name, left[0] if left else None, right[0] if right else None))
    return tuple(changes)


def _code(a: list[_Code], b: list[_Code], stream_a: Stream, stream_b: Stream) -> tuple[CodeChange, ...]:
    only_a, only_b = _without(a, b), _without(b, a)
    keys = sorted({(one.entry.sm, one.entry.target, one.entry.kind) for one in (*only_a, *only_b)})
    told = len(only_a) <= _NAMED and len(only_b) <= _NAMED
    changes = []
    for sm, target, kind in keys:
        left, right = ([c for c in side if (c.entry.sm, c.entry.target, c.entry.kind) == (sm, target, kind)]
                       for side in (only_a, only_b))  # fmt: skip
        kernels = _kernels(left, stream_a) | _kernels(right, stream_b) if told else set()
        counts = (len(left), len(right), _size(left), _size(right))
        changes.append(CodeChange(target, kind, *counts, tuple(sorted(kernels))))
    return tuple(changes)


def _size(pieces: Sequence[_Code]) -> int:
    return sum(one.entry.size for one in pieces)


def _without(these: Sequence[_Code], those: Sequence[_Code]) -> list[_Code]:
    """As multisets of target and bytes."""
    left = Counter((one.entry.target, one.digest) for one in those)
    found = []
    for one in these:
        key = (one.entry.target, one.digest)
        if left[key]:
            left[key] -= 1
        else:
            found.append(one)
    return found


def _kernels(pieces: Sequence[_Code], stream: Stream) -> set[str]:
    found: set[str] = set()
    for piece in pieces:
        try:
            found.update(kernel_names(stream, piece.entry))
        except _DAMAGE:
            continue  # that it differs is told all the same
    return found
