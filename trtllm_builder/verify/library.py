"""One shared library of a wheel: what it needs from the loader and which GPU code it holds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import BinaryIO

from trtllm_builder.binary.elf import Elf, ElfError, Symbol, read_elf
from trtllm_builder.binary.fatbin import Entry, FatbinError, read_fatbin
from trtllm_builder.verify.expect import Expectation

SYMBOLS = 200_000  # libtorch_cpu.so defines 74,567
_SECTIONS = (".nv_fatbin", "__nv_relfatbin")


@dataclass(frozen=True)
class Target:
    """GPU code of one target: ``sm_90a`` (kind cubin) or ``compute_90`` (ptx, lto). ``size`` is bytes as stored.

    ``linked`` is False for ``__nv_relfatbin``: input of a device link that no kernel launch can use.
    """

    name: str
    kind: str
    linked: bool
    compressed: bool
    count: int
    size: int


@dataclass(frozen=True)
class Library:
    """``error`` says why it could not be read; then the other fields are empty and say nothing.

    ``undefined`` and ``defined`` are the dynamic symbols, each at most ``SYMBOLS``; ``symbols_left_out`` counts those
    beyond. The forbidden ones were looked for among all. ``needed_versions``: pairs like ("libc.so.6", "GLIBC_2.34").
    """

    path: str
    size: int
    machine: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    forbidden_libraries: tuple[str, ...] = ()
    forbidden_symbols: tuple[str, ...] = ()
    needed_versions: tuple[tuple[str, str], ...] = ()
    undefined: tuple[Symbol, ...] = ()
    defined: tuple[Symbol, ...] = ()
    symbols_left_out: int = 0
    error: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def cubins(self) -> frozenset[str]:
        """The targets whose machine code a launch can use."""
        return frozenset(target.name for target in self.targets if target.kind == "cubin" and target.linked)

    @property
    def ptx(self) -> frozenset[str]:
        """The virtual architectures whose PTX the driver can compile."""
        return frozenset(target.name for target in self.targets if target.kind == "ptx" and target.linked)


def read_library(path: str, stream: BinaryIO, expectation: Expectation) -> Library:
    """``stream`` is binary and seekable. A broken file gives a Library with ``error``."""
    size = stream.seek(0, 2)
    try:
        elf = read_elf(stream)
        entries = _entries(elf, stream)
    except (ElfError, FatbinError) as error:
        return Library(path, size, error=str(error))
    return Library(
        path=path,
        size=size,
        machine=elf.machine,
        soname=elf.soname,
        needed=elf.needed,
        rpath=elf.rpath,
        runpath=elf.runpath,
        targets=_targets(entries),
        forbidden_libraries=_forbidden_libraries((*elf.needed, elf.soname, PurePosixPath(path).name), expectation),
        forbidden_symbols=_forbidden_symbols(elf, expectation),
        needed_versions=elf.needed_versions,
        undefined=elf.undefined[:SYMBOLS],
        defined=elf.defined[:SYMBOLS],
        symbols_left_out=max(0, len(elf.undefined) - SYMBOLS) + max(0, len(elf.defined) - SYMBOLS),
    )


def _entries(elf: Elf, stream: BinaryIO) -> list[tuple[bool, Entry]]:
    return [
        (section.name == ".nv_fatbin", entry)
        for section in elf.named(*_SECTIONS)
        for entry in read_fatbin(stream, section.offset, section.offset + section.size)
    ]


def _targets(entries: list[tuple[bool, Entry]]) -> tuple[Target, ...]:
    counts: Counter[tuple[int, str, str, bool, bool]] = Counter()
    sizes: Counter[tuple[int, str, str, bool, bool]] = Counter()
    for linked, entry in entries:
        key = (entry.sm, entry.target, entry.kind, linked, entry.compression != "none")
        counts[key] += 1
        sizes[key] += entry.size
    return tuple(
        Target(name, kind, linked, compressed, counts[key], sizes[key])
        for key in sorted(counts)
        for _, name, kind, linked, compressed in (key,)
    )


def _forbidden_libraries(names: tuple[str, ...], expectation: Expectation) -> tuple[str, ...]:
    patterns = expectation.forbidden_libraries
    return tuple(sorted({name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}))


def _forbidden_symbols(elf: Elf, expectation: Expectation) -> tuple[str, ...]:
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in expectation.forbidden_symbols) or r"(?!)", re.ASCII)

    def hits(symbols: tuple[Symbol, ...], how: str) -> list[str]:
        return sorted({f"{symbol.name} ({how})" for symbol in symbols if wanted.fullmatch(symbol.name)})

    return tuple(hits(elf.undefined, "undefined") + hits(elf.defined, "defined"))
