"""What a shared library asks of the loader: needed libraries, search paths, symbols with their versions.

Source: the System V ABI's "Dynamic Linking". A hostile file ends in ElfError and costs at most 64 MB, or what the
caller allows for symbols.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from trtllm_builder.binary.elf_symbols import Symbol, dynamic_symbols, read_versions
from trtllm_builder.binary.elf_tables import ElfError, Section, Tables, whole
from trtllm_builder.binary.stream import Stream

__all__ = ["Elf", "ElfError", "Section", "Symbol", "read_elf"]

_DYN = struct.Struct("<qQ")
_SHT_DYNAMIC, _ET_DYN = 6, 3
_DT_NULL, _DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 14, 15, 29
_TAGS = 10_000
_MACHINES = {62: "x86_64", 183: "aarch64"}


@dataclass(frozen=True)
class Elf:
    """The dynamic face of an ELF file. ``needed``, ``rpath`` and ``runpath`` are in the file's order.

    ``needed_versions`` are pairs of library and version, such as ``("libc.so.6", "GLIBC_2.34")``, sorted.
    ``symbols_left_out`` counts symbols beyond what the caller wanted kept.
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
    symbols_left_out: int = 0

    def named(self, *names: str) -> tuple[Section, ...]:
        """The sections with one of these names."""
        return tuple(section for section in self.sections if section.name in names)


def nothing(name: str) -> bool:
    return False


def read_elf(stream: Stream, *, watch: Callable[[str], bool] = nothing, keep: int = 24 << 20) -> Elf:
    """Reads a binary file. About ``keep`` bytes of dynamic symbols are kept, beyond that only those for whose name
    ``watch`` is true. Raises ElfError when it is not a sound 64-bit little-endian ELF file.
    """
    tables = Tables(stream)
    dynamic = tables.of_type(_SHT_DYNAMIC)
    if dynamic is None and tables.kind == _ET_DYN:
        # The loader goes by program headers; without sections our tables would read as empty, not unknown.
        raise ElfError("a shared library without a dynamic section header")
    tags = _tags(tables, dynamic) if dynamic else []
    versions = read_versions(tables)
    symbols = dynamic_symbols(tables, versions, watch, keep)
    return Elf(
        machine=_MACHINES.get(tables.machine, f"machine {tables.machine}"),
        dynamic=dynamic is not None,
        soname=next((text for tag, text in tags if tag == _DT_SONAME), ""),
        needed=tuple(text for tag, text in tags if tag == _DT_NEEDED),
        rpath=_paths(tags, _DT_RPATH),
        runpath=_paths(tags, _DT_RUNPATH),
        sections=tables.sections,
        undefined=tuple(symbols.undefined),
        defined=tuple(symbols.defined),
        needed_versions=tuple(sorted((library, version) for version, library in versions.values() if library)),
        symbols_left_out=symbols.left_out,
    )


def _tags(tables: Tables, dynamic: Section) -> list[tuple[int, str]]:
    strings = tables.linked(dynamic)
    wanted = (_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH)
    found: list[tuple[int, str]] = []
    for tag, value in _DYN.iter_unpack(whole(tables.content(dynamic), _DYN.size)):
        if tag == _DT_NULL:
            break
        if tag in wanted:
            if len(found) == _TAGS:
                raise ElfError(f"more than {_TAGS} needed libraries and search paths")
            found.append((tag, tables.string(strings, value)))
    return found


def _paths(tags: list[tuple[int, str]], wanted: int) -> tuple[str, ...]:
    return tuple(path for tag, text in tags if tag == wanted for path in text.split(":") if path)
