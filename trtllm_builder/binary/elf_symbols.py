"""Symbols of an ELF file with their versions.

Sources: the System V ABI's "Symbol Table", and the Linux Standard Base's "Symbol Versioning" for GNU versions.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from trtllm_builder.binary.elf_tables import ElfError, Section, Tables

_SYM = struct.Struct("<IBBHQQ")
_VERNEED, _VERNAUX = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_VERDEF, _VERDAUX = struct.Struct("<HHHHIII"), struct.Struct("<II")
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_SHT_GNU_VERDEF, _SHT_GNU_VERNEED, _SHT_GNU_VERSYM = 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_STT_FUNC = 2
_SYMBOLS = 600_000  # libtensorflow_cc.so has 446,395
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
    table = tables.of_type(_SHT_DYNSYM)
    if table is None:
        return Symbols()
    versym = tables.of_type(_SHT_GNU_VERSYM)
    indices = tables.content(versym, 0, min(versym.size, 2 * (table.size // _SYM.size))) if versym else b""
    kept: list[tuple[int, int, Symbol]] = []
    watched = left_out = 0
    for number, name, info, section, _ in _rows(tables, table):
        binding = info >> 4
        if not name or binding == 0:  # the null symbol, sections, local names
            continue
        keep -= OBJECT + len(name) * (1 if name.isascii() else 4)
        if keep < 0:
            wanted = watch(name)
            watched += wanted
            if not wanted or watched > _WATCHED:
                left_out += 1
                continue
        # The top bit of a version index hides the symbol from linkers; it is not part of the number.
        index = int.from_bytes(indices[2 * number : 2 * number + 2], "little") & 0x7FFF
        version, library = versions.get(index, ("", ""))
        kept.append((number, section, Symbol(name, version, "" if section else library, weak=binding == 2)))
    kept.sort(key=itemgetter(0))
    undefined = [symbol for _, section, symbol in kept if not section]
    return Symbols(undefined, [symbol for _, section, symbol in kept if section], left_out)


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


def _rows(tables: Tables, table: Section) -> Iterator[tuple[int, str, int, int, int]]:
    """Number, name, ``st_info``, ``st_shndx`` and ``st_other`` of each symbol, in the order in which names stand."""
    if table.size % _SYM.size:
        raise ElfError(f"a table of {table.size} bytes does not hold whole entries of {_SYM.size}")
    if table.size > _SYMBOLS * _SYM.size:
        raise ElfError(f"{table.size // _SYM.size} symbols; more than {_SYMBOLS} are not read")
    rows = tables.content(table)
    strings = tables.linked(table)
    # Place and number in one integer each: half a million symbols are sorted in 20 MB.
    order = array("Q", sorted(row[0] << 32 | number for number, row in enumerate(_SYM.iter_unpack(rows))))
    for number in (key & 0xFFFFFFFF for key in order):
        name, info, other, section, _, _ = _SYM.unpack_from(rows, number * _SYM.size)
        yield number, strings.at(name) if name else "", info, section, other


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
