"""CUDA fat binaries: which GPU code a ``.nv_fatbin`` or ``__nv_relfatbin`` section holds.

NVIDIA publishes the names of the sections (fatbinary_section.h of the toolkit) and, with older toolkits, the frame and
the kinds (fatbinary.h), not the entries. What stands here of them was found by experiment: small kernels compiled with
nvcc 13.0 for sm_80 to sm_121a, PTX, LTO, -G, -lineinfo, -rdc and each ``-compress-mode``, the bytes compared, and the
result checked against cuobjdump 13.5 on those and on libraries made by CUDA 11.8 to 13.x. Numbers are little-endian.

``.nv_fatbin`` holds code that is linked, ``__nv_relfatbin`` input of a device link. ``.nvFatBinSegment`` holds no code:
24 bytes for each registered frame (u32 0x466243B1, u32 version, two pointers), whose pointers the loader fills in.

A section is a row of frames, one for each object file that was linked. Zero bytes may stand between them::

    0  u32  magic 0xBA55ED50      4  u16  version (1)      6  u16  size of this header (16)
    8  u64  size of the entries that follow

A frame is a row of entries::

    0  u16  kind: 1 PTX, 2 cubin (an ELF file), 4 a cubin older than that (never seen), 8 LTO intermediate code
    2  u16  version (0x101)
    4  u32  size of this header, from 64; name and options stand in it after the fixed part
    8  u64  size of the payload, padded
   16  u32  size of the payload when compressed, else 0
   20  u32  offset of the options in this header, or 0
   24  u16  minor, u16 major version: of PTX the ISA's (9.0), of cubins 1.7, or 1.8 since CUDA 12.8 for SM 100 and
            later and since CUDA 13 for all
   28  u32  SM number: 89, 90, 100
   32  u32  offset and 36 u32 length of the source's name, or 0
   40  u64  flags
   48  u64  identifier (0 except for LTO)
   56  u64  size of the payload once uncompressed, or 0

Flags seen: 0x1 64-bit, 0x2 debug (-G), 0x10 Linux host, 0x2000 LZ4, 0x8000 Zstandard, 0x10000 LTO,
0x100000 architecture-specific (``sm_90a``), 0x200000 family (``sm_100f``), 0x1000000 the cubin format of SM 100 and
later. The ``a`` and ``f`` are nowhere else that holds for every compiler: e_flags of CUDA 13's cubins do not tell
sm_90a from sm_90, and both forms may be compressed. cuobjdump's ``--list-elf`` prints ``a`` and leaves out ``f``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from mmap import mmap
from typing import Literal, NamedTuple

from trtllm_builder.binary.stream import Stream

Kind = Literal["ptx", "cubin", "lto", "other"]
Compression = Literal["none", "lz4", "zstd"]
Suffix = Literal["", "a", "f"]

Source = bytes | bytearray | memoryview | mmap | Stream

_BUFFERS = (bytes, bytearray, memoryview, mmap)
MAGIC, VERSION = 0xBA55ED50, 1
FRAME = struct.Struct("<IHHQ")
ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
_KINDS: dict[int, Kind] = {1: "ptx", 2: "cubin", 8: "lto"}
_LZ4, _ZSTD, _SPECIFIC, _FAMILY = 0x2000, 0x8000, 0x100000, 0x200000
# libcublasLt has 5,666; the bound keeps a crafted file from filling memory.
MAX_ENTRIES = 100_000


class FatbinError(ValueError):
    """Bytes that are no fatbin; ``offset`` counts from the start of the buffer."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(f"{what} at offset {offset:#x}")
        self.what = what
        self.offset = offset


class Entry(NamedTuple):
    """One piece of GPU code. ``offset`` is that of its payload in the buffer; ``size`` is bytes as stored, ``unpacked``
    once they are uncompressed. ``version`` is the PTX ISA's or the cubin format's: see above.
    """

    kind: Kind
    sm: int
    suffix: Suffix
    compression: Compression
    offset: int
    size: int
    unpacked: int
    version: tuple[int, int]

    @property
    def target(self) -> str:
        """``sm_90a`` for machine code, ``compute_90a`` for PTX and LTO code."""
        return f"{'sm' if self.kind == 'cubin' else 'compute'}_{self.sm}{self.suffix}"


def read_fatbin(data: Source, start: int = 0, end: int | None = None) -> Iterator[Entry]:
    """The entries of the frames from ``start`` to ``end``, in order. Only headers are read: a stream (seekable, binary)
    costs a few kilobytes whatever its size.

    Raises FatbinError where the bytes do not fit the format.
    """
    walk = _Walk(data)
    limit = walk.size if end is None else end
    if not 0 <= start <= limit <= walk.size:
        raise FatbinError("the section lies outside the file", start)
    offset = start
    while (offset := walk.skip_padding(offset, limit)) < limit:
        body, frame_end = walk.frame(offset, limit)
        while body < frame_end:
            entry, body = walk.entry(body, frame_end)
            yield entry
        offset = frame_end


class _Walk:
    def __init__(self, data: Source) -> None:
        self.at = partial(bytes_at, data) if isinstance(data, _BUFFERS) else partial(_streamed, data)
        self.size = len(data) if isinstance(data, _BUFFERS) else data.seek(0, 2)
        self.headers = 0

    def count(self, offset: int) -> None:
        self.headers += 1
        if self.headers > MAX_ENTRIES:
            raise FatbinError(f"more than {MAX_ENTRIES} frames and entries", offset)

    def skip_padding(self, offset: int, limit: int) -> int:
        step = FRAME.size
        while offset < limit:
            window = self.at(offset, min(step, limit - offset))
            rest = window.lstrip(b"\0")
            if rest or not window:
                return offset + len(window) - len(rest)
            offset += len(window)
            step = 1 << 20
        return limit

    def frame(self, offset: int, limit: int) -> tuple[int, int]:
        self.count(offset)
        head = self.at(offset, min(FRAME.size, limit - offset))
        if len(head) < FRAME.size:
            raise FatbinError("a frame header is cut off", offset)
        magic, version, header, size = FRAME.unpack(head)
        if magic != MAGIC:
            raise FatbinError(f"expected the magic number {MAGIC:#x}, found {magic:#x}", offset)
        if version != VERSION or header < FRAME.size:
            raise FatbinError(f"frame version {version} with a header of {header} bytes is not known", offset)
        if header + size > limit - offset:
            raise FatbinError(f"a frame of {size} bytes goes beyond its section", offset)
        return offset + header, offset + header + size

    def entry(self, offset: int, limit: int) -> tuple[Entry, int]:
        self.count(offset)
        head = self.at(offset, min(ENTRY.size, limit - offset))
        if len(head) < ENTRY.size:
            raise FatbinError("an entry header is cut off", offset)
        kind, _, header, padded, packed, _, minor, major, sm, _, _, flags, _, unpacked = ENTRY.unpack(head)
        if header < ENTRY.size:
            raise FatbinError(f"an entry header of {header} bytes is too short", offset)
        if header + padded > limit - offset:
            raise FatbinError(f"an entry of {padded} bytes goes beyond its frame", offset)
        compression: Compression = "zstd" if flags & _ZSTD else "lz4" if flags & _LZ4 else "none"
        if compression == "none":
            packed, unpacked = padded, padded
        elif packed > padded:
            raise FatbinError(f"an entry says {packed} bytes but has room for {padded}", offset)
        if not 0 < sm < 10_000:
            raise FatbinError(f"an entry is for SM {sm}", offset)
        suffix: Suffix = "f" if flags & _FAMILY else "a" if flags & _SPECIFIC else ""
        place, version = offset + header, (major, minor)
        entry = Entry(_KINDS.get(kind, "other"), sm, suffix, compression, place, packed, unpacked, version)
        return entry, offset + header + padded


def bytes_at(data: Source, offset: int, size: int) -> bytes:
    """Fewer than ``size`` bytes at the end."""
    if isinstance(data, _BUFFERS):
        return bytes(data[offset : offset + size])
    return _streamed(data, offset, size)


def _streamed(data: Stream, offset: int, size: int) -> bytes:
    data.seek(offset)
    return data.read(size)
