"""Members packed by all processors and written in order, each hashed for RECORD, and the whole file for its digest.

One thread unpacks and hashes, the others pack blocks, and when they have enough to do, it packs one itself: no more
threads than processors, and none that waits. What is to be written is bounded, so a member of any size takes a few
megabytes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, Semaphore
from typing import BinaryIO

from trtllm_builder.binary.unpack import UnpackError
from trtllm_builder.repro.codec import BLOCK, Packed, pack
from trtllm_builder.repro.zip_writer import ZipWriter

# For each thread that packs: blocks it is given ahead, and steps that may wait for a block of its.
_AHEAD, _WAITING = 3, 12
_HASHED_AT_ONCE = 16 << 20  # bytes
_READ_AT_ONCE = 256 << 10  # bytes; they stay in the processor's cache until they are hashed


@dataclass(frozen=True)
class Source:
    """A member to be. ``pieces`` gives its bytes in pieces of any length, ``size`` of them, with the CRC-32 ``crc``
    where that is known."""

    name: str
    mode: int
    size: int
    pieces: Callable[[], Iterator[bytes]]
    crc: int | None = None


def of_bytes(name: str, data: bytes) -> Source:
    return Source(name, 0o644, len(data), lambda: iter((data,)))


def write_members(sources: Iterable[Source], record: str, archive: ZipWriter, threads: int) -> str:
    """Packs in ``threads`` threads and writes in order, RECORD last; the SHA-256 of what was written."""
    written = _Hashed(archive.stream)
    others = max(1, threads - 1)
    with ThreadPoolExecutor(others) as pool:
        line = _Line(archive, pool, Semaphore(others * _AHEAD), others * _WAITING, written)
        try:
            rows = [line.put(source) for source in sources]
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows([*rows, (record, "", "")])
            line.put(of_bytes(record, table.getvalue().encode()))
            line.finish(0)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    archive.close()
    archive.stream.flush()
    written.go_on(archive.at)
    return written.digest.hexdigest()


class _Hashed:
    """The hash of a file that is still being written, as far as it is final: hashed at the end it would keep one
    processor busy and the others waiting."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()
        self.at = 0
        self.turn = Lock()

    def go_on(self, end: int) -> None:
        """Up to ``end``, which has been flushed."""
        with self.turn:
            buffer = memoryview(bytearray(_READ_AT_ONCE))
            while self.at < end:
                size = os.preadv(self.stream.fileno(), [buffer[: end - self.at]], self.at)
                if not size:
                    raise OSError("the wheel that is being written was cut short")
                self.digest.update(buffer[:size])
                self.at += size


@dataclass
class _Line:
    """Blocks that are being packed, and what is to be done when they are: at most ``most`` steps wait, and ``room``
    says whether the other threads take one more block."""

    archive: ZipWriter
    pool: ThreadPoolExecutor
    room: Semaphore
    most: int
    written: _Hashed
    hashing: int = 0
    steps: deque[tuple[Future[Packed] | None, Callable[[], None]]] = field(default_factory=deque)

    def put(self, source: Source) -> tuple[str, str, str]:
        """The member's row in RECORD."""
        digest, size, before = hashlib.sha256(), 0, b""
        self.later(partial(self.archive.begin, source.name, source.mode, source.size))
        for block, last in _blocks(source.pieces()):
            digest.update(block)
            packed = self.packed(block, before, last=last)
            self.later(partial(self.add, packed), packed)
            size += len(block)
            before = block
            if size > source.size:
                break
        if size != source.size:
            raise UnpackError(f"{source.name} is said to hold {source.size} bytes, and does not")
        self.later(partial(self.end, source))
        # RECORD's form: urlsafe base64 without padding.
        encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        return source.name, f"sha256={encoded}", str(size)

    def packed(self, block: bytes, before: bytes, *, last: bool) -> Future[Packed]:
        """By another thread, or here when those have enough to do."""
        if self.room.acquire(blocking=False):
            packed = self.pool.submit(pack, block, before, last=last)
            packed.add_done_callback(lambda _: self.room.release())
            return packed
        here: Future[Packed] = Future()
        here.set_result(pack(block, before, last=last))
        return here

    def later(self, step: Callable[[], None], packed: Future[Packed] | None = None) -> None:
        """``step`` needs ``packed``."""
        self.steps.append((packed, step))
        self.finish(self.most)

    def finish(self, most: int) -> None:
        """Do what can be done, and wait until at most ``most`` steps are left."""
        while self.steps:
            packed, step = self.steps[0]
            if packed and not packed.done() and len(self.steps) <= most:
                break
            self.steps.popleft()
            step()

    def add(self, packed: Future[Packed]) -> None:
        self.archive.add(packed.result())

    def end(self, source: Source) -> None:
        crc = self.archive.end()
        if source.crc not in (None, crc):
            raise UnpackError(f"{source.name} does not have the checksum that the archive states")
        if self.archive.at - self.hashing >= _HASHED_AT_ONCE:
            self.hashing = self.archive.at
            self.archive.stream.flush()
            self.pool.submit(self.written.go_on, self.hashing)


def _blocks(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same bytes in blocks of ``BLOCK``, the last one shorter; each with whether it is the last."""
    parts: list[bytes] = []
    room = BLOCK
    for piece in pieces:
        while len(piece) > room:
            yield b"".join([*parts, piece[:room]]), False
            parts, piece, room = [], piece[room:], BLOCK
        parts.append(piece)
        room -= len(piece)
    yield b"".join(parts), True
