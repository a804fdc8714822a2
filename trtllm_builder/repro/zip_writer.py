"""A zip archive of deflated members that somebody else packed, each header the same whenever it is written.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 (records), 4.4 (fields) and 4.5.3 (sizes beyond 32 bits). Python's
zipfile cannot take packed bytes. No data descriptors: a member's sizes are written into its header afterwards, since
some installers unpack from the front and believe only that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from trtllm_builder.repro.codec import Packed, crc_of_both

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_DEFLATED = 8
_UTF8 = 0x800
_UNIX = 3 << 8
_PLAIN, _WIDE = 20, 45  # the version needed to unpack: deflate, and sizes of 64 bits
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_FILE = 0o100000

Date = tuple[int, int, int, int, int, int]


@dataclass
class _Member:
    name: bytes
    flags: int
    mode: int
    header: int
    wide: bool
    crc: int = 0
    packed: int = 0
    size: int = 0


class ZipWriter:
    """Writes to ``stream``, which must be empty and seekable. All members have one ``date`` (year to second).

    ``widest``: members of more bytes than this get fields of 64 bits.
    """

    def __init__(self, stream: BinaryIO, date: Date, *, widest: int = _FULL32 - (64 << 20)) -> None:
        self.stream = stream
        year, month, day, hour, minute, second = date
        self.time = hour << 11 | minute << 5 | second // 2
        self.date = (year - 1980) << 9 | month << 5 | day
        self.widest = widest
        self.members: list[_Member] = []
        self.at = 0

    def begin(self, name: str, mode: int, size: int) -> None:
        """A member of ``size`` bytes; the blocks that follow are its contents."""
        raw = name.encode()
        member = _Member(raw, 0 if name.isascii() else _UTF8, mode, self.at, wide=size > self.widest)
        self.members.append(member)
        self._write(self._local(member))

    def add(self, block: Packed) -> None:
        member = self.members[-1]
        member.crc = crc_of_both(member.crc, block) if member.size else block.crc
        member.packed += len(block.data)
        member.size += block.size
        self._write(block.data)

    def end(self) -> int:
        """What the last member came to goes into its header; its CRC-32. Raises ValueError when larger than said."""
        member = self.members[-1]
        if max(member.packed, member.size) >= _FULL32 and not member.wide:
            raise ValueError(f"{member.name.decode()} holds more than was said")
        self.stream.seek(member.header)
        self.stream.write(self._local(member))
        self.stream.seek(self.at)
        return member.crc

    def close(self) -> None:
        """The directory. The stream stays open."""
        start, count = self.at, len(self.members)
        for member in self.members:
            self._write(self._central(member))
        size = self.at - start
        if count >= _FULL16 or start >= _FULL32 or size >= _FULL32:
            self._write(
                _END64.pack(b"PK\x06\x06", _END64.size - 12, _UNIX | _WIDE, _WIDE, 0, 0, count, count, size, start)
                + _LOCATOR.pack(b"PK\x06\x07", 0, start + size, 1)
            )
        shown = min(count, _FULL16)
        self._write(_END.pack(b"PK\x05\x06", 0, 0, shown, shown, min(size, _FULL32), min(start, _FULL32), 0))

    def _write(self, data: bytes) -> None:
        self.stream.write(data)
        self.at += len(data)

    def _local(self, member: _Member) -> bytes:
        sizes, extra = (member.packed, member.size), b""
        if member.wide:
            sizes, extra = (_FULL32, _FULL32), struct.pack("<HHQQ", 1, 16, member.size, member.packed)
        return (
            _LOCAL.pack(
                b"PK\x03\x04", _WIDE if member.wide else _PLAIN, member.flags, _DEFLATED, self.time, self.date,
                member.crc, *sizes, len(member.name), len(extra),
            )
            + member.name
            + extra
        )  # fmt: skip

    def _central(self, member: _Member) -> bytes:
        # 4.5.3: only what does not fit stands in the field of 64 bits, in this order.
        long = [value for value in (member.size, member.packed, member.header) if value >= _FULL32]
        extra = struct.pack(f"<HH{len(long)}Q", 1, 8 * len(long), *long) if long else b""
        version = _WIDE if member.wide or long else _PLAIN
        return (
            _CENTRAL.pack(
                b"PK\x01\x02", _UNIX | version, version, member.flags, _DEFLATED, self.time, self.date, member.crc,
                min(member.packed, _FULL32), min(member.size, _FULL32), len(member.name), len(extra), 0, 0, 0,
                (_FILE | member.mode) << 16, min(member.header, _FULL32),
            )
            + member.name
            + extra
        )  # fmt: skip
