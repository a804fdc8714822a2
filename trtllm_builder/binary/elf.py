"""What a shared library asks of the loader: needed libraries, search paths, symbols with their versions.

Sources: the System V ABI's ELF chapters (elf(5)), and the Linux Standard Base for GNU symbol versions. Only 64-bit
little-endian files are read: x86-64 and AArch64, all that CUDA wheels hold. Tables are unpacked in bulk, and every
count and offset is held against the file's size first: a hostile file costs at most its own size and ends in ElfError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_DYN = struct.Struct("<qQ")
_VERNEED, _VERNAUX = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_VERDEF, _VERDAUX = struct.Struct("<HHHHIII"), struct.Struct("<II")

_SHT_NOBITS, _SHT_DYNAMIC, _SHT_DYNSYM = 8, 6, 11
_SHT_GNU_VERDEF, _SHT_GNU_VERNEED, _SHT_GNU_VERSYM = 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_DT_NULL, _DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 14, 15, 29
_ET_DYN = 3
_MACHINES = {62: "x86_64", 183: "aarch64"}


class ElfError(ValueError):
    """Bytes that are no readable 64-bit ELF file; the message says where."""


@dataclass(frozen=True)
class Section:
    """A section header; ``size`` is 0 for sections without bytes in the file."""

    name: str
    type: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dynamic symbol. ``version`` and ``library`` (for undefined ones) are empty where the file names none."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


@dataclass(frozen=True)
class Elf:
    """The dynamic face of an ELF file. ``needed``, ``rpath`` and ``runpath`` are in the file's order.

    ``needed_versions`` are pairs of library and version, such as ``("libc.so.6", "GLIBC_2.34")``, sorted.
    """

    machine: str
    dynamic: bool
    soname: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    sections: tuple[Section, ...]
    undefined: tuple[Symbol, ...]
    defined: tuple[Symbol, ...]
    needed_versions: tuple[tuple[str, str], ...]

    def named(self, *names: str) -> tuple[Section, ...]:
        """The sections with one of these names."""
        return tuple(section for section in self.sections if section.name in names)


def read_elf(stream: BinaryIO) -> Elf:
    """Reads a seekable binary file. Raises ElfError when it is not a sound 64-bit little-endian ELF file."""
    return _Reader(stream).read()


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = stream.seek(0, 2)
        # Tables may point many times at the same long name or record; together they get a few times the file's size.
        self.budget = (16 << 20) + 4 * self.size

    def spend(self, amount: int) -> None:
        self.budget -= amount
        if self.budget < 0:
            raise ElfError("its tables unfold to many times the size of the file")

    def at(self, offset: int, size: int, what: str) -> bytes:
        if offset + size > self.size:
            raise ElfError(f"{what} at offset {offset:#x} goes beyond the end of the file")
        self.stream.seek(offset)
        data = self.stream.read(size)
        if len(data) != size:
            raise ElfError(f"{what} at offset {offset:#x} is cut off")
        return data

    def read(self) -> Elf:
        fields = _EHDR.unpack(self.at(0, _EHDR.size, "the ELF header"))
        ident, kind, machine, shoff, shentsize, shnum, shstrndx = (
            fields[0], fields[1], fields[2], fields[6], fields[11], fields[12], fields[13],
        )  # fmt: skip
        if ident[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if ident[4] != 2 or ident[5] != 1:
            raise ElfError("not a 64-bit little-endian ELF file")
        sections = self.sections(shoff, shentsize, shnum, shstrndx)
        dynamic = next((section for section in sections if section.type == _SHT_DYNAMIC), None)
        if dynamic is None and kind == _ET_DYN:
            # The loader goes by program headers; without sections our tables would read as empty, not unknown.
            raise ElfError("a shared library without a dynamic section header")
        tags = self.tags(dynamic, sections) if dynamic else []
        versions = self.versions(sections)
        undefined, defined = self.symbols(sections, versions)
        return Elf(
            machine=_MACHINES.get(machine, f"machine {machine}"),
            dynamic=dynamic is not None,
            soname=next((text for tag, text in tags if tag == _DT_SONAME), ""),
            needed=tuple(text for tag, text in tags if tag == _DT_NEEDED),
            rpath=_paths(tags, _DT_RPATH),
            runpath=_paths(tags, _DT_RUNPATH),
            sections=sections,
            undefined=undefined,
            defined=defined,
            needed_versions=tuple(sorted((library, version) for version, library in versions.values() if library)),
        )

    def sections(self, offset: int, entry: int, count: int, names: int) -> tuple[Section, ...]:
        if offset == 0:
            return ()
        if entry != _SHDR.size:
            raise ElfError(f"section headers of {entry} bytes")
        first = _SHDR.unpack(self.at(offset, _SHDR.size, "the section header table"))
        # elf(5): counts that do not fit their fields stand in the first section header.
        count = count or first[5]
        names = first[6] if names == 0xFFFF else names
        table = list(_SHDR.iter_unpack(self.at(offset, count * _SHDR.size, "the section header table")))
        if names >= len(table):
            raise ElfError(f"the section names are said to stand in section {names} of {len(table)}")
        strings = self.at(table[names][4], table[names][5], "the section names")
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

    def content(self, section: Section) -> bytes:
        return self.at(section.offset, section.size, f"section {section.name or '(unnamed)'}")

    def linked(self, section: Section, sections: tuple[Section, ...]) -> bytes:
        if section.link >= len(sections):
            raise ElfError(f"section {section.name} links to section {section.link} of {len(sections)}")
        return self.content(sections[section.link])

    def tags(self, dynamic: Section, sections: tuple[Section, ...]) -> list[tuple[int, str]]:
        strings = self.linked(dynamic, sections)
        wanted = (_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH)
        found = []
        for tag, value in _DYN.iter_unpack(_whole(self.content(dynamic), _DYN.size)):
            if tag == _DT_NULL:
                break
            if tag in wanted:
                found.append((tag, self.string(strings, value)))
        return found

    def symbols(
        self, sections: tuple[Section, ...], versions: dict[int, tuple[str, str]]
    ) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...]]:
        table = next((section for section in sections if section.type == _SHT_DYNSYM), None)
        if table is None:
            return (), ()
        strings = self.linked(table, sections)
        versym = next((section for section in sections if section.type == _SHT_GNU_VERSYM), None)
        indices = [row[0] for row in struct.iter_unpack("<H", _whole(self.content(versym), 2))] if versym else []
        undefined: list[Symbol] = []
        defined: list[Symbol] = []
        for number, (name, info, _, index, _, _) in enumerate(_SYM.iter_unpack(_whole(self.content(table), _SYM.size))):
            binding = info >> 4
            if name == 0 or binding == 0:  # the null symbol, sections, local names
                continue
            # The top bit of a version index hides the symbol from linkers; it is not part of the number.
            known = versions.get(indices[number] & 0x7FFF, ("", "")) if number < len(indices) else ("", "")
            symbol = Symbol(self.string(strings, name), known[0], known[1] if index == 0 else "", weak=binding == 2)
            (undefined if index == 0 else defined).append(symbol)
        return tuple(undefined), tuple(defined)

    def versions(self, sections: tuple[Section, ...]) -> dict[int, tuple[str, str]]:
        """Version index -> (version, library that provides it)."""
        found: dict[int, tuple[str, str]] = {}
        for section in sections:
            if section.type == _SHT_GNU_VERNEED:
                data, strings = self.content(section), self.linked(section, sections)
                for at, (_, count, file, aux, _) in self.chain(data, _VERNEED, 0, section.info, 4):
                    for _, row in self.chain(data, _VERNAUX, at + aux, count, 4):
                        found[row[2] & 0x7FFF] = (self.string(strings, row[3]), self.string(strings, file))
            elif section.type == _SHT_GNU_VERDEF:
                data, strings = self.content(section), self.linked(section, sections)
                for at, row in self.chain(data, _VERDEF, 0, section.info, 6):
                    for _, (name, _) in self.chain(data, _VERDAUX, at + row[5], min(row[3], 1), 1):
                        found[row[2] & 0x7FFF] = (self.string(strings, name), "")
        return found

    def chain(
        self, data: bytes, layout: struct.Struct, offset: int, count: int, link: int
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """A linked list of records: field ``link`` is the distance to the next one, which must lie ahead."""
        for _ in range(count):
            if offset + layout.size > len(data):
                raise ElfError("a symbol version table goes beyond its section")
            self.spend(layout.size)
            row = layout.unpack_from(data, offset)
            yield offset, row
            if row[link] == 0:
                return
            offset += row[link]

    def string(self, strings: bytes, offset: int) -> str:
        end = strings.find(b"\0", offset)
        if offset >= len(strings) or end < 0:
            raise ElfError(f"a name at {offset} goes beyond its string table of {len(strings)} bytes")
        self.spend(end - offset)
        return strings[offset:end].decode("utf-8", "replace")


def _whole(data: bytes, size: int) -> bytes:
    if len(data) % size:
        raise ElfError(f"a table of {len(data)} bytes does not hold whole entries of {size}")
    return data


def _paths(tags: list[tuple[int, str]], wanted: int) -> tuple[str, ...]:
    return tuple(path for tag, text in tags if tag == wanted for path in text.split(":") if path)
