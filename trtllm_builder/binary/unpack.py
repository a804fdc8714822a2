"""Bytes of an archive's members: unpacked once in order, and again from bookmarks where somebody asks.

A deflated stream cannot seek, and what explains an ELF file (its section headers) stands at its end. So the one pass
leaves bookmarks: copies of zlib's state, of 40 KB each, from which a piece of the member can be unpacked a second time
(zlib's example zran.c does the same). Nothing is written to disk.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from copy import copy
from typing import Any

from isal import isal_zlib
from zlib_ng import zlib_ng

_PACKED = 64 << 10
_PIECE = 1 << 20
_BOOKMARKS = 256
_APART = 1 << 20  # bytes between bookmarks, at least
_WINDOWS = 1 << 16
_DAMAGED: Any = (zlib_ng.error, isal_zlib.error)  # their stubs take the classes for instances
_RAW = -15  # deflate without zlib's header, with a window of 2**15

STORED, DEFLATED = 0, 8


class UnpackError(ValueError):
    """Packed bytes that do not unpack; the message is a clause without the member's name."""


class Unpacking:
    """A place in a member from where unpacking can go on. ``offset`` counts unpacked bytes.

    ``once``: cannot be copied; ISA-L, which is a third faster than zlib-ng, has no copies of its state.
    """

    def __init__(self, descriptor: int, start: int, packed: int, method: int, *, once: bool = False) -> None:
        self.descriptor = descriptor
        self.at, self.end = start, start + packed
        self.method = method
        self.offset = 0
        self.state: Any = (isal_zlib if once else zlib_ng).decompressobj(_RAW)

    def copy(self) -> Unpacking:
        twin = copy(self)
        twin.state = self.state.copy()
        return twin

    def next(self) -> bytes:
        """The next bytes, at most 1 MiB of them, and none at the end. Raises UnpackError and OSError."""
        piece = self.stored() if self.method == STORED else self.inflated()
        self.offset += len(piece)
        return piece

    def pieces(self) -> Iterator[bytes]:
        while piece := self.next():
            yield piece

    @property
    def can_be_copied(self) -> bool:
        """A copy would hold what was read and is not yet unpacked, too."""
        return not self.state.unconsumed_tail

    @property
    def left_over(self) -> int:
        """Packed bytes that nothing was unpacked from, once the end is reached."""
        return self.end - self.at + len(self.state.unused_data)

    def packed(self, size: int) -> bytes:
        data = os.pread(self.descriptor, min(size, self.end - self.at), self.at)
        self.at += len(data)
        return data

    def stored(self) -> bytes:
        piece = self.packed(_PIECE)
        if not piece and self.at < self.end:
            raise UnpackError("the archive ends within it")
        return piece

    def inflated(self) -> bytes:
        while not self.state.eof:
            data = self.state.unconsumed_tail or self.packed(_PACKED)
            try:
                piece: bytes = self.state.decompress(data, _PIECE)
            except _DAMAGED as error:
                raise UnpackError(f"its packed data is damaged ({error})") from error
            if piece:
                return piece
            if not data:
                raise UnpackError("its packed data ends too early")
        return b""


class Replay:
    """A member as a seekable stream. ``pieces`` must have run to its end before anything is read."""

    def __init__(self, first: Unpacking, size: int) -> None:
        self.bookmarks = [first.copy()]
        self.apart = max(_APART, size // _BOOKMARKS)
        self.first = first
        self.size = size
        self.position = 0
        self.window_offsets: list[int] = []
        self.windows: list[bytes] = []
        self.run, self.piece = first, b""
        # Reading a library goes to and fro a dozen times and once through; more is an attempt to keep us busy.
        self.budget = 2 * size + (256 << 20)

    def pieces(self) -> Iterator[bytes]:
        """The one pass."""
        run = self.first
        while piece := run.next():
            yield piece
            if run.offset - self.bookmarks[-1].offset >= self.apart and run.can_be_copied and run.method == DEFLATED:
                self.bookmarks.append(run.copy())
        self.size = run.offset

    def remember(self, offset: int, data: bytes) -> None:
        """Bytes that will be asked for. Offsets must grow; beyond a limit they are forgotten and unpacked again."""
        if len(self.windows) < _WINDOWS:
            self.window_offsets.append(offset)
            self.windows.append(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes. Raises UnpackError and OSError."""
        size = min(size, self.size - self.position)
        if size <= 0:
            return b""
        data = self.remembered(size)
        if data is None:
            data = self.unpacked_again(size)
        self.position += len(data)
        return data

    def remembered(self, size: int) -> bytes | None:
        index = bisect_right(self.window_offsets, self.position) - 1
        if index < 0:
            return None
        start = self.position - self.window_offsets[index]
        data = self.windows[index][start : start + size]
        return data if len(data) == size else None

    def unpacked_again(self, size: int) -> bytes:
        self.go_to(self.position)
        data = self.piece[self.position - self.run.offset + len(self.piece) :][:size]
        if len(data) == size:
            return data
        longer = bytearray(data)
        while len(longer) < size and self.forward():
            longer += self.piece[: size - len(longer)]
        return bytes(longer)

    def go_to(self, offset: int) -> None:
        """Makes ``piece`` the one that holds ``offset``, from where we are or from the nearest bookmark."""
        begin = self.run.offset - len(self.piece)
        nearest = self.bookmarks[bisect_right(self.bookmarks, offset, key=lambda mark: mark.offset) - 1]
        if offset < begin or nearest.offset > self.run.offset:
            self.run, self.piece = nearest.copy(), b""
        if self.run.method == STORED:
            self.run, self.piece = self.bookmarks[0].copy(), b""
            self.run.at, self.run.offset = self.run.at + offset, offset
        while self.run.offset <= offset and self.forward():
            pass

    def forward(self) -> bool:
        self.piece = self.run.next()
        self.budget -= len(self.piece)
        if self.budget < 0:
            raise UnpackError("its tables point to and fro")
        return bool(self.piece)
