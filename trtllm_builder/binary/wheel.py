"""Wheel archives, read as if a stranger had made them.

Sources: the PyPA "Binary distribution format" (file names, RECORD, METADATA, WHEEL) and zipfile's own checks. Every
member is inflated once: hashed, counted, and handed on when it is an ELF file. What is wrong with the archive is a
finding in the result; only a file that is no zip archive at all raises.
"""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import io
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path
from typing import BinaryIO

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

_CHUNK = 1 << 20
_TEXT_LIMIT = 64 << 20  # RECORD and METADATA: far more than any real one
_KEPT_LIMIT = 48 << 20  # all kept texts together
_STRONG = ("sha256", "sha384", "sha512")
_UNSIGNED = ("RECORD.jws", "RECORD.p7s")

# What zipfile raises over damaged bytes: most of these by intent, IndexError, struct.error and ValueError by accident.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, IndexError, ValueError)


class WheelError(ValueError):
    """A file that cannot be read as a zip archive; the message is a sentence."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to: bytes in all, and how many times its packed size a large member may be."""

    total: int = 16 << 30
    ratio: int = 400
    ratio_from: int = 64 << 20


@dataclass(frozen=True)
class Finding:
    """Something wrong with a member (empty when it is the archive as a whole). ``kind`` is a stable short word."""

    kind: str
    member: str
    what: str


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Wheel:
    """What a wheel is and holds. ``name``, ``version`` and ``tags`` are the file name's; headers are METADATA's.

    ``texts`` holds the text of the members that ``read_wheel`` was asked to keep; ``not_kept`` names those that were
    too large for it.
    """

    path: Path
    size: int
    sha256: str
    name: str
    version: str
    build: str
    tags: frozenset[Tag]
    headers: tuple[tuple[str, str], ...]
    members: tuple[Member, ...]
    findings: tuple[Finding, ...]
    texts: Mapping[str, str]
    not_kept: tuple[str, ...]

    def header(self, name: str) -> tuple[str, ...]:
        """All values of a METADATA header, such as ``Requires-Dist``."""
        return tuple(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def top_level(self) -> tuple[str, ...]:
        """The names that can be imported: packages and modules at the root of the archive."""
        found = set()
        for member in self.members:
            first, _, rest = member.name.partition("/")
            if rest in ("__init__.py", "__init__.pyi") or rest.startswith("__init__."):
                found.add(first)
            elif not rest and first.endswith((".py", ".so")):
                found.add(first.split(".")[0])
        return tuple(sorted(name for name in found if name.isidentifier()))


Visitor = Callable[[str, BinaryIO], None]


def no_text(name: str) -> bool:
    return False


def read_wheel(
    path: Path, *, visit: Visitor | None = None, keep: Callable[[str], bool] = no_text, limits: Limits | None = None
) -> Wheel:
    """Reads every member once. ``visit(name, file)`` gets each ELF member as an open file, unlinked or about to be.

    The text of members for whose name ``keep`` is true stays in the result, up to a limit.
    Raises WheelError when the file is no zip archive and OSError when it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    reader = _Reader(limits or Limits(), visit, keep)
    try:
        with zipfile.ZipFile(path) as archive:
            reader.read(archive)
    except _DAMAGE as error:
        raise WheelError(f"{path.name} is no readable zip archive: {error}") from error
    name = version = build = ""
    tags: frozenset[Tag] = frozenset()
    try:
        parsed_name, parsed_version, parsed_build, tags = parse_wheel_filename(path.name)
        name, version, build = str(parsed_name), str(parsed_version), "".join(map(str, parsed_build))
    except InvalidWheelFilename as error:
        reader.find("name", "", str(error))
    reader.check_record()
    return Wheel(
        path=path,
        size=path.stat().st_size,
        sha256=digest.hexdigest(),
        name=name,
        version=version,
        build=build,
        tags=tags,
        headers=reader.headers,
        members=tuple(reader.members),
        findings=tuple(reader.findings),
        texts=reader.texts,
        not_kept=tuple(reader.not_kept),
    )


@dataclass
class _Reader:
    limits: Limits
    visit: Visitor | None
    keep: Callable[[str], bool]
    members: list[Member] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    headers: tuple[tuple[str, str], ...] = ()
    record: dict[str, tuple[str, str]] | None = None
    record_name: str = ""
    hashes: dict[str, str] = field(default_factory=dict)
    unpacked: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    not_kept: list[str] = field(default_factory=list)
    kept: int = 0

    def find(self, kind: str, member: str, what: str) -> None:
        self.findings.append(Finding(kind, member, what))

    def read(self, archive: zipfile.ZipFile) -> None:
        infos = archive.infolist()
        self.record_name = self.dist_info(archive, infos, "RECORD")
        self.read_record(archive)
        metadata = self.dist_info(archive, infos, "METADATA")
        if metadata and (text := self.text(archive, metadata)) is not None:
            self.headers = tuple((key, str(value)) for key, value in HeaderParser().parsestr(text).items())
        self.dist_info(archive, infos, "WHEEL")
        seen: set[str] = set()
        for info in infos:
            self.check_name(info, seen)
            if not info.is_dir():
                self.read_member(archive, info)

    def dist_info(self, archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], file: str) -> str:
        found = sorted({info.filename for info in infos if _in_dist_info(info.filename, file)})
        if not found:
            self.find("missing", "", f"the archive holds no .dist-info/{file}")
        elif len(found) > 1:
            self.find("duplicate", found[1], f"more than one {file}: {', '.join(found)}")
        return found[0] if found else ""

    def text(self, archive: zipfile.ZipFile, name: str) -> str | None:
        try:
            with archive.open(name) as stream:
                data = stream.read(_TEXT_LIMIT + 1)
        except (*_DAMAGE, OSError) as error:
            self.find("unreadable", name, str(error))
            return None
        if len(data) > _TEXT_LIMIT:
            self.find("bomb", name, f"more than {_TEXT_LIMIT >> 20} MiB")
            return None
        return data.decode("utf-8", "replace")

    def read_record(self, archive: zipfile.ZipFile) -> None:
        text = self.text(archive, self.record_name) if self.record_name else None
        if text is None:
            return
        self.record = {}
        try:
            for row in csv.reader(io.StringIO(text)):
                if len(row) < 3:
                    if row:
                        self.find("record", row[0], "a RECORD line without a hash and a size column")
                    continue
                if row[0] in self.record:
                    self.find("duplicate", row[0], "named twice in RECORD")
                self.record[row[0]] = (row[1], row[2])
        except csv.Error as error:
            self.find("record", self.record_name, f"not readable as CSV: {error}")

    def check_name(self, info: zipfile.ZipInfo, seen: set[str]) -> None:
        name = info.filename
        parts = name.split("/")
        if name in seen:
            self.find("duplicate", name, "the archive holds this name twice")
        seen.add(name)
        drive = len(name) > 1 and name[1] == ":"
        if name.startswith("/") or drive or "\\" in info.orig_filename or ".." in parts or "." in parts:
            self.find("path", name, "the name leaves the directory it is installed into")
        if any(ord(char) < 32 for char in info.orig_filename):
            self.find("path", name, "the name holds control characters")
        kind = info.external_attr >> 16
        if stat.S_IFMT(kind) not in (0, stat.S_IFREG, stat.S_IFDIR):
            self.find("link", name, "a symbolic link" if stat.S_ISLNK(kind) else "neither a file nor a directory")

    def read_member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        name = info.filename
        allowed = min(self.limits.total - self.unpacked, self.limits.total)
        if info.file_size > self.limits.ratio_from:
            allowed = min(allowed, max(self.limits.ratio_from, info.compress_size * self.limits.ratio))
        algorithm, _, _ = (self.record or {}).get(name, ("sha256=", ""))[0].partition("=")
        hashers = {kind: hashlib.new(kind) for kind in {"sha256", algorithm if algorithm in _STRONG else "sha256"}}
        size, elf, sha256 = 0, False, ""
        kept: list[bytes] | None = [] if self.keep(name) else None
        try:
            with archive.open(info) as stream, tempfile.TemporaryFile() as copy:
                while chunk := stream.read(_CHUNK):
                    elf = elf or (size == 0 and chunk[:4] == b"\x7fELF")
                    size += len(chunk)
                    if size > allowed:
                        self.find("bomb", name, f"unpacks to more than {allowed} bytes")
                        break
                    for hasher in hashers.values():
                        hasher.update(chunk)
                    if kept is not None:
                        kept.append(chunk)
                        if self.kept + size > _KEPT_LIMIT:
                            self.not_kept.append(name)
                            kept = None
                    if elf and self.visit:
                        copy.write(chunk)
                else:
                    sha256 = hashers["sha256"].hexdigest()
                    if kept is not None:
                        self.kept += size
                        self.texts[name] = b"".join(kept).decode("utf-8", "replace")
                    if elf and self.visit:
                        copy.flush()
                        self.visit(name, copy)
        except _DAMAGE as error:
            self.find("unreadable", name, str(error) or type(error).__name__)
        except OSError as error:
            # zipfile seeks to wherever a damaged directory points, to before the beginning of the file too.
            if error.errno != errno.EINVAL:
                raise
            self.find("unreadable", name, "its place in the archive is none")
        if sha256 and size != info.file_size:
            self.find("size", name, f"said to be {info.file_size} bytes, holds {size}")
        self.unpacked += size
        self.members.append(Member(name, size, info.compress_size, sha256, elf, info.external_attr >> 16))
        if sha256:
            digest = hashers[algorithm].digest() if algorithm in hashers else b""
            self.hashes[name] = f"{algorithm}=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def check_record(self) -> None:
        if self.record is None:
            return
        present = {member.name: member for member in self.members}
        for name in sorted(present.keys() - self.record.keys()):
            if not any(_in_dist_info(name, file) for file in _UNSIGNED):
                self.find("record", name, "in the archive but not in RECORD")
        for name, (digest, size) in self.record.items():
            member = present.get(name)
            if member is None:
                self.find("record", name, "in RECORD but not in the archive")
            elif name != self.record_name and member.sha256:
                self.check_entry(member, digest, size)

    def check_entry(self, member: Member, digest: str, size: str) -> None:
        algorithm = digest.partition("=")[0]
        if not digest:
            if not any(_in_dist_info(member.name, file) for file in _UNSIGNED):
                self.find("record", member.name, "RECORD gives no hash")
        elif algorithm not in _STRONG:
            self.find("record", member.name, f"RECORD gives a hash by {algorithm}; sha256 or better is required")
        elif digest.rstrip("=") != self.hashes[member.name]:
            self.find("record", member.name, "the contents do not have the hash that RECORD gives")
        if size and size != str(member.size):
            self.find("record", member.name, f"RECORD says {size} bytes, the archive holds {member.size}")


def _in_dist_info(name: str, file: str) -> bool:
    directory, _, rest = name.partition("/")
    return rest == file and directory.endswith(".dist-info")
