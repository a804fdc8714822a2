"""The ground floor of the ELF reader: headers, sections and strings, each held against limits before it is read.

Sources: the System V ABI's ELF chapters and elf(5). Only 64-bit little-endian files are read: x86-64 and AArch64, all
that CUDA wheels hold, and the cubins inside them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from trtllm_builder.binary.stream import Stream

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SHT_NOBITS = 8
_SECTIONS = 20_000
_TABLE = 24 << 20
_WINDOW = 256 << 10  # of a string table: libtensorflow_cc.so's takes 79 MiB
_ALL = 256 << 20
_STRINGS = 8 << 20
_NAME = 1 << 20
_OBJECT = 50  # bytes a string takes beside its characters


class ElfError(ValueError):
    """Bytes that are no readable 64-bit ELF file; the message says where."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; ``size`` is 0 for sections without bytes in the file."""

    name: str
    type: int
    offset: int
    size: int
    link: int
    info: int


class Tables:
    """A file's header and sections. Raises ElfError. At most 256 MiB are read, and 8 MiB of strings kept."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.size = stream.seek(0, 2)
        self.budget = min(_ALL, (16 << 20) + 8 * self.size)
        self.room = _STRINGS
        header = self.at(0, _EHDR.size, "the ELF header")
        ident, self.kind, self.machine, _, _, _, offset, _, _, _, _, entry, count, names = _EHDR.unpack(header)
        if ident[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if ident[4] != 2 or ident[5] != 1:
            raise ElfError("not a 64-bit little-endian ELF file")
        self.sections = self._sections(offset, entry, count, names) if offset else ()

    def spend(self, amount: int) -> None:
        """Tables may point many times at the same long name or record."""
        self.budget -= amount
        if self.budget < 0:
            raise ElfError("its tables unfold to many times the size of the file")

    def at(self, offset: int, size: int, what: str) -> bytes:
        if offset + size > self.size:
            raise ElfError(f"{what} at offset {offset:#x} goes beyond the end of the file")
        if size > _TABLE:
            raise ElfError(f"{what} takes {size} bytes; more than {_TABLE >> 20} MiB are not read")
        self.spend(size)
        self.stream.seek(offset)
        data = self.stream.read(size)
        if len(data) != size:
            raise ElfError(f"{what} at offset {offset:#x} is cut off")
        return data

    def content(self, section: Section, start: int = 0, size: int | None = None) -> bytes:
        what = f"section {section.name or '(unnamed)'}"
        return self.at(section.offset + start, section.size if size is None else size, what)

    def linked(self, section: Section) -> Strings:
        """The strings of the section that this one names."""
        if section.link >= len(self.sections):
            raise ElfError(f"section {section.name} links to section {section.link} of {len(self.sections)}")
        strings = self.sections[section.link]
        return Strings(self, strings.offset, strings.size)

    def of_type(self, kind: int) -> Section | None:
        return next((section for section in self.sections if section.type == kind), None)

    def string(self, strings: Strings, offset: int) -> str:
        """A string that will be kept."""
        text = strings.at(offset)
        self.room -= len(text) + _OBJECT
        if self.room < 0:
            raise ElfError(f"its names take more than {_STRINGS >> 20} MiB")
        return text

    def _sections(self, offset: int, entry: int, count: int, names: int) -> tuple[Section, ...]:
        if entry != _SHDR.size:
            raise ElfError(f"section headers of {entry} bytes")
        first = _SHDR.unpack(self.at(offset, _SHDR.size, "the section header table"))
        # elf(5): counts that do not fit their fields stand in the first section header.
        count = count or first[5]
        names = first[6] if names == 0xFFFF else names
        if offset + count * _SHDR.size <= self.size and count > _SECTIONS:
            raise ElfError(f"{count} sections; more than {_SECTIONS} are not read")
        table = list(_SHDR.iter_unpack(self.at(offset, count * _SHDR.size, "the section header table")))
        if names >= len(table):
            raise ElfError(f"the section names are said to stand in section {names} of {len(table)}")
        strings = Strings(self, table[names][4], table[names][5])
        return tuple(
            Section(
                name=self.string(strings, row[0]),
                type=row[1],
                offset=row[4],
                size=0 if row[1] == _SHT_NOBITS else row[5],
                link=row[6],
                info=row[7],
            )
            for row in table
        )


class Strings:
    """A string table, of which only a window is in memory: cheap for whoever asks in the order of offsets."""

    def __init__(self, tables: Tables, place: int, size: int) -> None:
        self.tables, self.place, self.size = tables, place, size
        self.start, self.window = 0, b""

    def at(self, offset: int) -> str:
        for wanted in (0, _WINDOW, _NAME):
            if wanted and offset < self.size:
                size = min(wanted, self.size - offset)
                self.start, self.window = offset, self.tables.at(self.place + offset, size, "a string table")
            if self.start <= offset < self.start + len(self.window):
                end = self.window.find(b"\0", offset - self.start)
                if end >= 0:
                    name = self.window[offset - self.start : end]
                    self.tables.spend(len(name))
                    return name.decode("utf-8", "replace")
        if offset + _NAME < self.size:
            raise ElfError(f"a name of more than {_NAME >> 20} MiB")
        raise ElfError(f"a name at {offset} goes beyond its string table of {self.size} bytes")


def whole(data: bytes, size: int) -> bytes:
    """``data``, when it holds whole entries of ``size`` bytes."""
    if len(data) % size:
        raise ElfError(f"a table of {len(data)} bytes does not hold whole entries of {size}")
    return data
