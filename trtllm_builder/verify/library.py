"""One shared library of a wheel: what it needs from the loader and which GPU code it holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import PurePosixPath

from trtllm_builder.binary.elf import ElfError, Section, read_elf
from trtllm_builder.binary.elf_symbols import OBJECT, Symbol
from trtllm_builder.binary.fatbin import MAX_ENTRIES, Entry, FatbinError, read_fatbin
from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.unpack import UnpackError
from trtllm_builder.verify.expect import Expectation

KEPT = 24 << 20  # bytes of symbols: libtorch_cpu.so has 17 MB of them
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

    ``undefined`` and ``defined`` are the dynamic symbols; ``symbols_left_out`` counts those that a hostile or giant
    library has beyond what is kept (the forbidden ones are looked for among all). ``needed_versions`` are pairs like
    ("libc.so.6", "GLIBC_2.34"). ``cuda`` is the oldest CUDA release whose compiler writes such GPU code, None where its
    format does not tell.
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
    cuda: tuple[int, int] | None = None
    needed_versions: tuple[tuple[str, str], ...] = ()
    undefined: tuple[Symbol, ...] = ()
    defined: tuple[Symbol, ...] = ()
    symbols_left_out: int = 0
    error: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def symbols_size(self) -> int:
        """Bytes that the symbols take, about: objects and names."""
        return sum(OBJECT + len(symbol.name) for symbol in (*self.undefined, *self.defined))

    @property
    def cubins(self) -> frozenset[str]:
        """The targets whose machine code a launch can use."""
        return frozenset(target.name for target in self.targets if target.kind == "cubin" and target.linked)

    @property
    def ptx(self) -> frozenset[str]:
        """The virtual architectures whose PTX the driver can compile."""
        return frozenset(target.name for target in self.targets if target.kind == "ptx" and target.linked)


def read_library(path: str, stream: Stream, expectation: Expectation, *, keep: int = KEPT) -> Library:
    """A broken file gives a Library with ``error``. About ``keep`` bytes of symbols are kept."""
    size = stream.seek(0, 2)
    forbidden = re.compile("|".join(f"(?:{one})" for one in expectation.forbidden_symbols) or r"(?!)", re.ASCII)

    def watch(name: str) -> bool:
        return forbidden.fullmatch(name) is not None

    try:
        elf = read_elf(stream, watch=watch, keep=keep)
        entries = gpu_code(elf.sections, stream)
    except (ElfError, FatbinError, UnpackError) as error:
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
        cuda=_release(entries),
        forbidden_libraries=_forbidden_libraries((*elf.needed, elf.soname, PurePosixPath(path).name), expectation),
        forbidden_symbols=(*_hits(elf.undefined, "undefined", watch), *_hits(elf.defined, "defined", watch)),
        needed_versions=elf.needed_versions,
        undefined=elf.undefined,
        defined=elf.defined,
        symbols_left_out=elf.symbols_left_out,
    )


def gpu_code(sections: Sequence[Section], stream: Stream) -> list[tuple[bool, Entry]]:
    """Every piece of GPU code, and whether it is linked. Raises FatbinError; reads headers only."""
    held = sorted((section for section in sections if section.name in _SECTIONS), key=lambda section: section.offset)
    for one, other in pairwise(held):
        if one.offset + one.size > other.offset:
            raise FatbinError("two sections of GPU code share bytes", other.offset)
    found: list[tuple[bool, Entry]] = []
    for section in held:
        for entry in read_fatbin(stream, section.offset, section.offset + section.size):
            found.append((section.name == ".nv_fatbin", entry))
            if len(found) > MAX_ENTRIES:
                raise FatbinError(f"more than {MAX_ENTRIES} entries", entry.offset)
    return found


def _release(entries: list[tuple[bool, Entry]]) -> tuple[int, int] | None:
    newer = [entry.sm for _, entry in entries if entry.kind == "cubin" and entry.version >= (1, 8)]
    return (13, 0) if min(newer, default=100) < 100 else (12, 8) if newer else None


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


def _hits(symbols: tuple[Symbol, ...], how: str, watch: Callable[[str], bool]) -> list[str]:
    return sorted({f"{symbol.name} ({how})" for symbol in symbols if watch(symbol.name)})
