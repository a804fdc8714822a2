"""The one way in which we pack a wheel's members, in blocks that can be packed apart.

The same input at the same level gives other bytes with another implementation or version of deflate: the interpreter's
own ``zlib`` is 1.2.13 in one distribution, 1.3.1 in the next, and zlib-ng under the old name in a third. So we do not
use it. zlib-ng comes as a Python package that carries its library inside, is pinned by hash in requirements.lock, and
is named in every record and lock; a test knows the digest of what it makes. It has code for many processors, and they
make the same bytes: compared on levels 1, 3, 6 and 9 under qemu as qemu64 (SSE2 only), Nehalem, Haswell and max, and
on a Xeon with AVX-512.

Chosen by measurement, on libraries of sgl-kernel 0.3.21 (1.66 GB unpacked), one core: zlib level 6 packs 32 MB/s to
25.1 %, zlib-ng level 6 80 MB/s to 25.3 %, ISA-L level 3 364 MB/s to 28.6 %. A wheel is packed once in hours and
downloaded often, so the small size wins; libdeflate (108 MB/s, 24.9 %) cannot pack a member in pieces.

Blocks: each is packed by a compressor of its own that is shown the 32 KiB before it (RFC 1951's window) and ends on a
whole byte (zlib.h, "Z_SYNC_FLUSH"), so the joined blocks are one deflate stream. Where blocks begin depends on nothing
but the data, and the result therefore not on how many cores there were.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version

from zlib_ng import zlib_ng

BLOCK = 1 << 20
LEVEL = 6
_WINDOW = 32 << 10
_RAW = -15  # deflate without zlib's header, with a window of 2**15


@dataclass(frozen=True)
class Codec:
    """What decides a packed member's bytes. ``package`` is the Python package that carries the library ``library``;
    ``block`` is in bytes."""

    package: str
    library: str
    level: int
    block: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.library} ({self.package}), level {self.level}, blocks of {self.block >> 20} MiB"


CODEC = Codec(f"zlib-ng {version('zlib-ng')}", f"zlib-ng {zlib_ng.ZLIBNG_RUNTIME_VERSION}", LEVEL, BLOCK)


@dataclass(frozen=True)
class Packed:
    """A block: its packed bytes, how many it was of, and their CRC-32."""

    data: bytes
    size: int
    crc: int


def pack(block: bytes, before: bytes, *, last: bool) -> Packed:
    """``before`` is the member's previous block; only its end is looked at."""
    if before:
        packer = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, _RAW, zdict=before[-_WINDOW:])
    else:
        packer = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, _RAW)
    data = packer.compress(block) + packer.flush(zlib_ng.Z_FINISH if last else zlib_ng.Z_SYNC_FLUSH)
    return Packed(data, len(block), zlib_ng.crc32(block))


def crc_of_both(crc: int, block: Packed) -> int:
    """The CRC-32 of what has ``crc``, followed by ``block``."""
    return zlib_ng.crc32_combine(crc, block.crc, block.size)
