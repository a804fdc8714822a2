"""Symbols of an ELF file with their versions.

Sources: the System V ABI's "Symbol Table", and the Linux Standard Base's "Symbol Versioning" for GNU versions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from trtllm_builder.binary.elf_tables import ElfError, Section, Tables

_SYM = struct.Struct("<IBBHQQ")
_VERNEED, _VERNAUX = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_VERDEF, _VERDAUX = struct.Struct("<HHHHIII"), struct.Struct("<II")
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_SHT_GNU_VERDEF, _SHT_GNU_VERNEED, _SHT_GNU_VERSYM = 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_STT_FUNC = 2
_BLOCK = 40_000  # symbols unpacked at a time
_SYMBOLS = 500_000  # libtorch_cpu.so has 75,765
_WATCHED = 10_000
_RECORD = 256  # what following a link costs, in bytes of the budget: time rather than memory
OBJECT = 150  # bytes a symbol takes in memory beside its name

Versions = Mapping[int, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dynamic symbol. ``version`` and ``library`` (for undefined ones) are empty where the file names none."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


@dataclass
class Symbols:
    """Dynamic symbols in the file's order; ``left_out`` counts those that the limit left no room for."""

    undefined: list[Symbol] = field(default_factory=list)
    defined: list[Symbol] = field(default_factory=list)
    left_out: int = 0


def dynamic_symbols(tables: Tables, versions: Versions, watch: Callable[[str], bool], keep: int) -> Symbols:
    """Keeps about ``keep`` bytes of symbols, and beyond that only those for whose name ``watch`` is true."""
    kept, watched = Symbols(), 0
    table = tables.of_type(_SHT_DYNSYM)
    if table is None:
        return kept
    versym = tables.of_type(_SHT_GNU_VERSYM)
    indices = tables.content(versym, 0, min(versym.size, 2 * (table.size // _SYM.size))) if versym else b""
    for number, name, info, section in _symbols(tables, table):
        binding = info >> 4
        if not name or binding == 0:  # the null symbol, sections, local names
            continue
        # The top bit of a version index hides the symbol from linkers; it is not part of the number.
        index = int.from_bytes(indices[2 * number : 2 * number + 2], "little") & 0x7FFF
        known = versions.get(index, ("", ""))
        keep -= OBJECT + len(name) * (1 if name.isascii() else 4)
        if keep < 0:
            watched += watch(name)
            if watched > _WATCHED or not watch(name):
                kept.left_out += 1
                continue
        undefined = section == 0
        symbol = Symbol(name, known[0], known[1] if undefined else "", weak=binding == 2)
        (kept.undefined if undefined else kept.defined).append(symbol)
    return kept


def functions(tables: Tables) -> Iterator[tuple[str, int]]:
    """Name and ``st_other`` of every function in the static symbol table."""
    table = tables.of_type(_SHT_SYMTAB)
    if table is not None:
        for _, name, info, _, other in _rows(tables, table):
            if info & 0xF == _STT_FUNC and name:
                yield name, other


def read_versions(tables: Tables) -> Versions:
    """Version index -> version, and the library it is wanted from (empty for versions that the file defines)."""
    found: dict[int, tuple[str, str]] = {}
    for section in tables.sections:
        if section.type == _SHT_GNU_VERNEED:
            data, strings = tables.content(section), tables.linked(section)
            for at, (_, count, file, aux, _) in _chain(tables, data, _VERNEED, 0, section.info, 4):
                for _, row in _chain(tables, data, _VERNAUX, at + aux, count, 4):
                    found[row[2] & 0x7FFF] = (tables.string(strings, row[3]), tables.string(strings, file))
        elif section.type == _SHT_GNU_VERDEF:
            data, strings = tables.content(section), tables.linked(section)
            for at, row in _chain(tables, data, _VERDEF, 0, section.info, 6):
                for _, (name, _) in _chain(tables, data, _VERDAUX, at + row[5], min(row[3], 1), 1):
                    found[row[2] & 0x7FFF] = (tables.string(strings, name), "")
    return found


def _symbols(tables: Tables, table: Section) -> Iterator[tuple[int, str, int, int]]:
    for number, name, info, section, _ in _rows(tables, table):
        yield number, name, info, section


def _rows(tables: Tables, table: Section) -> Iterator[tuple[int, str, int, int, int]]:
    """Number, name, ``st_info``, ``st_shndx`` and ``st_other`` of each symbol."""
    if table.size % _SYM.size:
        raise ElfError(f"a table of {table.size} bytes does not hold whole entries of {_SYM.size}")
    if table.size > _SYMBOLS * _SYM.size:
        raise ElfError(f"{table.size // _SYM.size} symbols; more than {_SYMBOLS} are not read")
    strings = tables.linked(table)
    number = 0
    for start in range(0, table.size, _BLOCK * _SYM.size):
        block = tables.content(table, start, min(_BLOCK * _SYM.size, table.size - start))
        for name, info, other, section, _, _ in _SYM.iter_unpack(block):
            yield number, tables.passing(strings, name) if name else "", info, section, other
            number += 1


def _chain(
    tables: Tables, data: bytes, layout: struct.Struct, offset: int, count: int, link: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """A linked list of records: field ``link`` is the distance to the next one, which must lie ahead."""
    for _ in range(count):
        if offset + layout.size > len(data):
            raise ElfError("a symbol version table goes beyond its section")
        tables.spend(_RECORD)
        row = layout.unpack_from(data, offset)
        yield offset, row
        if row[link] == 0:
            return
        offset += row[link]
