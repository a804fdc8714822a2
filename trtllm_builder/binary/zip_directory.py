"""The directory of a zip archive, and whether the archive says the same everywhere.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 (records) and 4.5 (extra fields). zipfile believes the central
directory and looks no further; installers that stream believe the local headers. Where the two differ, what one tool
checked is not what another installs, so each difference is a finding.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace

from trtllm_builder.binary.findings import Findings

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_DIRECTORY_LIMIT = 32 << 20
_MEMBER_LIMIT = 100_000
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x2041, 0x8, 0x800
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


class WheelError(ValueError):
    """A file that cannot be read as a zip archive; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as the central directory states it; ``start`` is where its packed bytes begin."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    mode: int
    start: int = 0

    @property
    def directory(self) -> bool:
        return self.name.endswith("/")

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)


@dataclass(frozen=True)
class _End:
    """Where the directory stands. ``prefix`` bytes stand before what its author took for the beginning."""

    start: int
    size: int
    count: int
    prefix: int


def read_directory(descriptor: int, findings: Findings) -> tuple[Entry, ...]:
    """The members in the directory's order. Raises WheelError when there is no directory, and OSError."""
    length = os.fstat(descriptor).st_size
    end = _end(descriptor, length, findings)
    data = os.pread(descriptor, end.size, end.start)
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        if len(entries) == _MEMBER_LIMIT:
            findings.add("bomb", "", f"more than {_MEMBER_LIMIT} members: the others are not read")
            break
        entry, at = _central(data, at, end.prefix, findings)
        entries.append(entry)
    if len(entries) != end.count and len(entries) < _MEMBER_LIMIT:
        findings.add("directory", "", f"said to hold {end.count} members, its directory names {len(entries)}")
    return _located(descriptor, entries, end.start, findings)


def _end(descriptor: int, length: int, findings: Findings) -> _End:
    base = max(0, length - _END.size - _FULL16)
    tail = os.pread(descriptor, length - base, base)
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        raise WheelError("it has no end-of-directory record")
    _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, at)
    place = base + at
    behind = length - place - _END.size
    if behind != comment:
        findings.add("hidden", "", f"{behind} bytes follow the archive, its comment takes {comment}")
    elif comment:
        findings.add("hidden", "", f"a comment of {comment} bytes follows the archive")
    if disk or first_disk or here != count:
        findings.add("directory", "", "it is said to span several disks")
    directory_end = place
    locator = os.pread(descriptor, _LOCATOR.size, place - _LOCATOR.size) if place >= _LOCATOR.size else b""
    if locator[:4] == b"PK\x06\x07":
        directory_end = place - _LOCATOR.size - _END64.size
        record = os.pread(descriptor, _END64.size, max(0, directory_end))
        if directory_end < 0 or record[:4] != b"PK\x06\x06":
            raise WheelError("its 64-bit end-of-directory record is not where it must be")
        *_, count64, size64, offset64 = _END64.unpack(record)
        for small, full, large in ((count, _FULL16, count64), (size, _FULL32, size64), (offset, _FULL32, offset64)):
            if small not in (full, large):
                findings.add("directory", "", f"its 32-bit record says {small} where the 64-bit one says {large}")
        count, size, offset = count64, size64, offset64
    start = directory_end - size
    if start < 0 or start < offset:
        raise WheelError("its directory would begin before the file")
    if size > _DIRECTORY_LIMIT:
        raise WheelError(f"its directory takes {size} bytes; more than {_DIRECTORY_LIMIT >> 20} MiB are not read")
    if start != offset:
        findings.add("hidden", "", f"{start - offset} bytes stand before the archive")
    return _End(start, size, count, start - offset)


def _central(data: bytes, at: int, prefix: int, findings: Findings) -> tuple[Entry, int]:
    if data[at : at + 4] != b"PK\x01\x02" or at + _CENTRAL.size > len(data):
        raise WheelError(f"its directory is damaged at byte {at}")
    fields = _CENTRAL.unpack_from(data, at)
    _, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment_size, _, _, attributes, header = (
        fields
    )
    body = at + _CENTRAL.size
    raw = data[body : body + name_size]
    extra = data[body + name_size : body + name_size + extra_size]
    after = body + name_size + extra_size + comment_size
    if after > len(data):
        raise WheelError(f"its directory is cut off at byte {at}")
    name = _decoded(raw, flags, findings)
    fields64 = _extra(extra, name, findings)
    size, packed, header = _widened(fields64, size, packed, header)
    return Entry(name, raw, flags, method, crc, packed, size, header + prefix, attributes >> 16), after


def _decoded(raw: bytes, flags: int, findings: Findings) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        name = raw.decode("utf-8", "replace")
        findings.add("path", name, "the name is not the UTF-8 that it is said to be")
        return name


def _extra(extra: bytes, name: str, findings: Findings) -> bytes:
    """The values of the 64-bit field, empty without one."""
    found = b""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if at + 4 + size > len(extra):
            findings.add("directory", name, "an extra field goes beyond its record")
            break
        if kind == _ZIP64:
            found = extra[at + 4 : at + 4 + size]
        elif kind == _UNICODE_PATH:
            findings.add("path", name, "an extra field gives it a second name")
        at += 4 + size
    return found


def _located(descriptor: int, entries: list[Entry], limit: int, findings: Findings) -> tuple[Entry, ...]:
    """The entries with their ``start``; local headers are compared, and the file must be used once and wholly."""
    located: dict[int, Entry] = {}
    free = 0
    for index in sorted(range(len(entries)), key=lambda number: entries[number].header):
        entry = entries[index]
        if entry.header < free:
            findings.add("overlap", entry.name, f"it begins at {entry.header}, within another member")
        elif entry.header > free:
            findings.add("hidden", entry.name, f"{entry.header - free} bytes before it belong to no member")
        start = _local(descriptor, entry, limit, findings)
        located[index] = replace(entry, start=start)
        end = start + entry.packed
        if start and end <= limit and entry.flags & _DESCRIPTOR:
            end += _descriptor(descriptor, entry, end, findings)
        if end > limit:
            findings.add("overlap", entry.name, "it reaches into the archive's directory")
        free = max(free, end)
    if located and free < limit:
        findings.add("hidden", "", f"{limit - free} bytes after the last member belong to none")
    return tuple(located[index] for index in range(len(entries)))


def _local(descriptor: int, entry: Entry, limit: int, findings: Findings) -> int:
    """Where the packed bytes begin; 0 when there is no local header."""
    head = os.pread(descriptor, _LOCAL.size, entry.header) if entry.header < limit else b""
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        findings.add("local", entry.name, "there is no header of a member where the directory says")
        return 0
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    body = os.pread(descriptor, name_size + extra_size, entry.header + _LOCAL.size)
    if body[:name_size] != entry.raw_name:
        other = body[:name_size].decode("utf-8", "replace")
        findings.add("local", entry.name, f"its own header calls it {other!r}")
    if method != entry.method or (flags ^ entry.flags) & (_ENCRYPTED | _DESCRIPTOR | _UTF8):
        findings.add("local", entry.name, "its own header states another compression or other flags")
    size, packed = _widened(_extra(body[name_size:], entry.name, Findings()), size, packed)
    stated, known = (crc, packed, size), (entry.crc, entry.packed, entry.size)
    if stated != known and not (flags & _DESCRIPTOR and stated == (0, 0, 0)):
        findings.add("local", entry.name, "its own header states another size or checksum")
    return int(entry.header + _LOCAL.size + name_size + extra_size)


def _descriptor(descriptor: int, entry: Entry, at: int, findings: Findings) -> int:
    """The length of the data descriptor (4.3.9: with or without signature, sizes of 4 or 8 bytes); 0 if none fits."""
    data = os.pread(descriptor, 24, at)
    for layout in ("<III", "<IQQ"):
        for signature in (b"PK\x07\x08", b""):
            wanted = signature + struct.pack(layout, entry.crc, entry.packed & _FULL32, entry.size & _FULL32)
            if data.startswith(wanted):
                return len(wanted)
    findings.add("local", entry.name, "no data descriptor with the directory's sizes follows it")
    return 0


def _widened(wide: bytes, *values: int) -> tuple[int, ...]:
    """4.5.3: a value that is all ones stands in the 64-bit field instead, in this order."""
    rest = struct.iter_unpack("<Q", wide[: len(wide) // 8 * 8])
    return tuple(next(rest, (value,))[0] if value == _FULL32 else value for value in values)
