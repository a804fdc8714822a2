"""Fatbin headers caught while a library streams by.

Which sections of a library hold GPU code stands at its end, when they have long gone by. The scout looks for frames by
their magic number and keeps their headers, so that afterwards ``read_fatbin`` need not unpack the library again. It
decides nothing: what it missed is unpacked a second time, what it took wrongly is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from trtllm_builder.binary.fatbin import ENTRY, FRAME, MAGIC, VERSION

_START = FRAME.pack(MAGIC, VERSION, FRAME.size, 0)[:8]


class Scout:
    """Is fed with a file's pieces in order; calls ``found(offset, bytes)`` for each header, offsets growing."""

    def __init__(self, found: Callable[[int, bytes], None]) -> None:
        self.found = found
        self.rest = b""  # bytes before the next piece that were not enough to decide
        self.offset = 0  # of the next piece
        self.wanted = 0  # what is looked at next: an entry's header, or where the search goes on
        self.frame_end = 0  # 0 outside frames

    def feed(self, piece: bytes) -> None:
        begin = self.offset - len(self.rest)
        self.offset += len(piece)
        if self.wanted >= self.offset:  # inside a payload
            self.rest = b""
            return
        data = self.rest + piece
        while self.wanted < self.offset:
            at = self.wanted - begin
            if not (self.entry(data, at) if self.frame_end else self.search(data, at)):
                break
        self.rest = data[max(0, self.wanted - begin) :]

    def search(self, data: bytes, at: int) -> bool:
        """False when more bytes are needed."""
        base = self.wanted - at
        hit = data.find(_START, at)
        if hit < 0 or hit + FRAME.size > len(data):
            self.wanted = base + (hit if hit >= 0 else max(at, len(data) - len(_START) + 1))
            return False
        head = data[hit : hit + FRAME.size]
        self.found(base + hit, head)
        self.wanted = base + hit + FRAME.size
        self.frame_end = self.wanted + FRAME.unpack(head)[3]
        return True

    def entry(self, data: bytes, at: int) -> bool:
        """False when more bytes are needed."""
        if self.wanted == self.frame_end:
            self.frame_end = 0
            return True
        head = data[at : at + ENTRY.size]
        if len(head) < ENTRY.size:
            return False
        after = self.wanted + ENTRY.unpack(head)[2] + ENTRY.unpack(head)[3]
        if self.wanted + ENTRY.size <= after <= self.frame_end:
            self.found(self.wanted, head)
            self.wanted = after
        else:  # no frame after all
            self.frame_end = 0
        return True
