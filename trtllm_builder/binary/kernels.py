"""The kernels in one piece of GPU code: its bytes are unpacked, on demand, and searched for entry points.

A cubin is an ELF file for machine 190 (EM_CUDA); the kernels are the functions of its symbol table that bear the bit
0x10 of ``st_other`` (found by experiment, as the format in ``fatbin``; NVIDIA's "CUDA Binary Utilities" only says that
a cubin is ELF). PTX names them after ``.entry`` (NVIDIA's "PTX ISA", 11.1). Packed code is an LZ4 block without frame
(lz4_Block_format.md of the LZ4 project) or a Zstandard frame (RFC 8878).
"""

from __future__ import annotations

import io
import re

from trtllm_builder.binary.elf_symbols import functions
from trtllm_builder.binary.elf_tables import ElfError, Tables
from trtllm_builder.binary.fatbin import Entry, FatbinError, Source, bytes_at

LIMIT = 60 << 20  # the largest cubin of libcublasLt.so.13 unpacks to 57 MiB
_STO_CUDA_ENTRY = 0x10
_PTX_ENTRY = re.compile(rb"\.entry\s+([A-Za-z_$%][\w$]*)")


def kernel_names(data: Source, entry: Entry) -> tuple[str, ...]:
    """Names as the linker knows them (mangled), sorted; none for code other than PTX and cubins.

    Raises FatbinError when the code is damaged or unpacks to more than ``LIMIT`` bytes.
    """
    if entry.kind not in ("ptx", "cubin"):
        return ()
    code = unpacked(data, entry)
    if entry.kind == "ptx":
        return tuple(sorted({match.decode() for match in _PTX_ENTRY.findall(code)}))
    try:
        found = {name for name, other in functions(Tables(io.BytesIO(code))) if other & _STO_CUDA_ENTRY}
    except ElfError as error:
        raise FatbinError(f"a cubin cannot be read: {error}", entry.offset) from error
    return tuple(sorted(found))


def unpacked(data: Source, entry: Entry) -> bytes:
    """The code itself: a cubin, PTX text. Raises FatbinError."""
    if max(entry.size, entry.unpacked) > LIMIT:
        raise FatbinError(f"code of {max(entry.size, entry.unpacked)} bytes is not unpacked", entry.offset)
    packed = bytes_at(data, entry.offset, entry.size)
    if len(packed) < entry.size:
        raise FatbinError("code is cut off", entry.offset)
    if entry.compression == "none":
        return packed
    unpack = _lz4 if entry.compression == "lz4" else _zstd
    try:
        code = unpack(packed, entry.unpacked)
    except (IndexError, ValueError) as error:
        raise FatbinError(f"{entry.compression} code is damaged", entry.offset) from error
    if len(code) != entry.unpacked:
        raise FatbinError(f"code of {entry.unpacked} bytes unpacks to {len(code)}", entry.offset)
    return code


def _zstd(packed: bytes, size: int) -> bytes:
    import zstandard

    try:
        if zstandard.frame_content_size(packed) not in (-1, size):
            raise ValueError("another size")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _lz4(packed: bytes, size: int) -> bytes:
    """Sequences of literals and a match further back; the last one has no match. Padding may follow it."""
    out = bytearray()
    at = 0
    while len(out) < size:
        token = packed[at]
        literals, at = _length(packed, at + 1, token >> 4)
        out += packed[at : at + literals]
        at += literals
        if len(out) >= size or at >= len(packed):
            break
        distance = packed[at] | packed[at + 1] << 8
        length, at = _length(packed, at + 2, token & 15)
        length += 4
        start = len(out) - distance
        if distance == 0 or start < 0 or len(out) + length > size:
            raise ValueError("a match outside")
        if distance >= length:
            out += out[start : start + length]
        else:
            out += (out[start:] * (length // distance + 1))[:length]
    return bytes(out)


def _length(packed: bytes, at: int, first: int) -> tuple[int, int]:
    """15 means that more follows: bytes of 255 and one that is not."""
    if first == 15:
        while packed[at] == 255:
            first += 255
            at += 1
        first += packed[at]
        at += 1
    return first, at
