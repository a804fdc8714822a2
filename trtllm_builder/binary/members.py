"""The one pass over an archive's members: unpacked, counted, hashed, and shown to whoever reads ELF files."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from trtllm_builder.binary.fatbin_scout import Scout
from trtllm_builder.binary.findings import Findings
from trtllm_builder.binary.record import Record, algorithms
from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.unpack import DEFLATED, STORED, Replay, UnpackError, Unpacking
from trtllm_builder.binary.zip_directory import Entry

_KEPT = 40 << 20  # all kept texts together
_IN_MEMORY = 16 << 20  # an ELF member up to this size is kept whole while it is looked at
_WORKERS = 4  # each may hold an ELF member and bookmarks: about 30 MB


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to: bytes in all, and how many times its packed size a large member may be."""

    total: int = 16 << 30
    ratio: int = 400
    ratio_from: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive, sizes in bytes; ``sha256`` (hexadecimal) is empty when it could not be read.

    ``mode`` is its Unix mode with the file type (``stat.S_ISLNK`` and the like), 0 when the archive gives none.
    """

    name: str
    size: int
    packed: int
    sha256: str
    elf: bool
    mode: int = 0


Visitor = Callable[[str, Stream], None]
Digests = Mapping[str, bytes]


@dataclass
class Pass:
    """``texts`` and ``not_kept`` are filled by ``read``: see Wheel."""

    descriptor: int
    record: Record
    limits: Limits
    visit: Visitor | None
    keep: Callable[[str], bool]
    texts: dict[str, str] = field(default_factory=dict)
    not_kept: list[str] = field(default_factory=list)
    stopped: bool = False

    def read(self, entries: Sequence[Entry], findings: Findings) -> tuple[str, list[tuple[Member, Digests]]]:
        """The archive's own sha256, and every member with its digests, none of which means it could not be read."""
        jobs = [_Job(entry, allowed, kept) for entry, allowed, kept in self.plan(entries)]
        # The largest first: begun last, one of them would run on alone.
        todo = iter(sorted(jobs, key=lambda job: -job.entry.size))
        workers = min(_WORKERS, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(workers) as pool:
            whole = pool.submit(self.whole)
            started = [pool.submit(self.run_all, todo) for _ in range(workers)]
            try:
                sha256 = whole.result()
                for one in started:
                    one.result()
            finally:
                self.stopped = True
        for job in jobs:
            for kind, what in job.findings:
                findings.add(kind, job.entry.name, what)
            if job.text is not None:
                self.texts[job.entry.name] = job.text
        return sha256, [(job.member, job.digests) for job in jobs]

    def plan(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, bool]]:
        """How many bytes each member may unpack to, and whether its text is kept."""
        room, shelved = self.limits.total, self.shelved(entries)
        for number, entry in enumerate(entries):
            allowed = min(entry.size, room)
            if entry.size > self.limits.ratio_from:
                allowed = min(allowed, max(self.limits.ratio_from, entry.packed * self.limits.ratio))
            room -= allowed
            kept = number in shelved
            if not kept and self.keep(entry.name):
                self.not_kept.append(entry.name)
            yield entry, allowed, kept

    def shelved(self, entries: Sequence[Entry]) -> frozenset[int]:
        """The places of those whose texts there is room for. What a wheel says of itself comes before its code."""
        shelf, kept = _KEPT, set()
        own = {number for number, entry in enumerate(entries) if ".dist-info/" in entry.name}
        for number in (
            *sorted(own, key=lambda at: entries[at].size),
            *(number for number in range(len(entries)) if number not in own),
        ):
            if self.keep(entries[number].name) and entries[number].size <= shelf:
                shelf -= entries[number].size
                kept.add(number)
        return frozenset(kept)

    def whole(self) -> str:
        digest, at = hashlib.sha256(), 0
        while not self.stopped and (data := os.pread(self.descriptor, 1 << 20, at)):
            digest.update(data)
            at += len(data)
        return digest.hexdigest()

    def run_all(self, todo: Iterator[_Job]) -> None:
        for job in todo:
            if self.stopped:
                break
            self.run(job)

    def run(self, job: _Job) -> None:
        entry = job.entry
        try:
            self.unpack(job, unpacking(self.descriptor, entry))
        except UnpackError as error:
            compression = not entry.encrypted and entry.method not in (STORED, DEFLATED)
            job.tell("encrypted" if entry.encrypted else "compression" if compression else "unreadable", str(error))

    def unpack(self, job: _Job, run: Unpacking) -> None:
        entry = job.entry
        if job.allowed < entry.size:
            job.tell("bomb", f"unpacks to {entry.size} bytes; {job.allowed} are allowed")
            return
        hashers = {name: hashlib.new(name) for name in algorithms(self.record, entry.name)}
        replay = Replay(run, entry.size) if entry.size > _IN_MEMORY else None
        memory, checksum = io.BytesIO(), 0
        scout = Scout(replay.remember) if replay else None
        for piece in replay.pieces() if replay else run.pieces():
            if self.stopped:
                return
            if not job.size:
                job.elf = piece[:4] == b"\x7fELF"
            job.size += len(piece)
            if job.size > entry.size:
                job.tell("size", f"holds more than the {entry.size} bytes stated")
                return
            checksum = zlib.crc32(piece, checksum)
            for hasher in hashers.values():
                hasher.update(piece)
            if job.kept or (job.elf and not replay):
                memory.write(piece)
            elif job.elf and scout:
                scout.feed(piece)
        if job.size != entry.size:
            job.tell("size", f"said to be {entry.size} bytes, holds {job.size}")
        if checksum != entry.crc:
            job.tell("size", f"its checksum is {checksum:08x}, not {entry.crc:08x} as stated")
        if run.left_over:
            job.tell("hidden", f"{run.left_over} bytes behind its packed data")
        job.digests = {name: hasher.digest() for name, hasher in hashers.items()}
        if job.kept:
            job.text = memory.getvalue().decode("utf-8", "replace")
        if job.elf and self.visit:
            self.visit(entry.name, replay or memory)


@dataclass(slots=True)
class _Job:
    """A member, and what is found out about it. ``allowed`` and ``size`` are bytes."""

    entry: Entry
    allowed: int
    kept: bool
    size: int = 0
    elf: bool = False
    text: str | None = None
    digests: Digests = field(default_factory=dict)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, kind: str, what: str) -> None:
        self.findings.append((kind, what))

    @property
    def member(self) -> Member:
        sha256 = self.digests["sha256"].hex() if self.digests else ""
        return Member(self.entry.name, self.size, self.entry.packed, sha256, self.elf, self.entry.mode)


def unpacking(descriptor: int, entry: Entry, *, once: bool = False) -> Unpacking:
    """The beginning of a member; ``once`` as Unpacking has it. Raises UnpackError when it cannot be read at all."""
    if entry.encrypted:
        raise UnpackError("it is encrypted")
    if entry.method not in (STORED, DEFLATED):
        raise UnpackError(f"packed by method {entry.method}, neither stored nor deflated")
    if not entry.start:
        raise UnpackError("its place in the archive is none")
    return Unpacking(descriptor, entry.start, entry.packed, entry.method, once=once)
