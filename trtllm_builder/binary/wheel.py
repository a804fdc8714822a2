"""Wheel archives, read as if a stranger had made them, in one pass.

Sources: the PyPA "Binary distribution format" (file names, RECORD, METADATA, WHEEL). Every member is unpacked once:
hashed, counted, and handed on when it is an ELF file; large members are worked on in parallel, nothing is written to
disk. What is wrong with the archive is a finding in the result; only a file that is no zip archive at all raises.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from trtllm_builder.binary.findings import Finding, Findings
from trtllm_builder.binary.members import Limits, Member, Pass, Visitor, unpacking
from trtllm_builder.binary.names import check_names
from trtllm_builder.binary.record import check_record, in_dist_info, read_record
from trtllm_builder.binary.unpack import UnpackError
from trtllm_builder.binary.zip_directory import Entry, WheelError, read_directory

__all__ = ["Finding", "Limits", "Member", "Wheel", "WheelError", "read_wheel"]

_TEXT = 8 << 20  # RECORD, METADATA: far more than any real one


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


def no_text(name: str) -> bool:
    return False


def read_wheel(
    path: Path, *, visit: Visitor | None = None, keep: Callable[[str], bool] = no_text, limits: Limits | None = None
) -> Wheel:
    """Reads every member once. ``visit(name, stream)`` gets each ELF member, and is called from several threads.

    The text of members for whose name ``keep`` is true stays in the result, up to a limit.
    Raises WheelError when the file is no zip archive and OSError when it cannot be read.
    """
    findings = Findings()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        entries = _entries(descriptor, path, findings)
        check_names(entries, findings)
        named = {file: _dist_info(entries, file, findings) for file in ("RECORD", "METADATA", "WHEEL")}
        record_name = named["RECORD"].name if named["RECORD"] else ""
        listed, metadata = (_content(descriptor, named[file], findings) for file in ("RECORD", "METADATA"))
        record = read_record(listed, record_name, findings) if listed is not None else None
        once = Pass(descriptor, record or {}, limits or Limits(), visit, keep)
        sha256, read = once.read([entry for entry in entries if not entry.directory], findings)
    finally:
        os.close(descriptor)
    if record is None and record_name:
        findings.add("record", record_name, "it cannot be read, so nothing was compared with it")
    elif record is not None:
        check_record(record, record_name, ((m.name, m.size, digests) for m, digests in read), findings)
    name = version = build = ""
    tags: frozenset[Tag] = frozenset()
    try:
        parsed_name, parsed_version, parsed_build, tags = parse_wheel_filename(path.name)
        name, version, build = str(parsed_name), str(parsed_version), "".join(map(str, parsed_build))
    except InvalidWheelFilename as error:
        findings.add("name", "", str(error))
    return Wheel(
        path=path,
        size=path.stat().st_size,
        sha256=sha256,
        name=name,
        version=version,
        build=build,
        tags=tags,
        headers=_headers(metadata or b""),
        members=tuple(member for member, _ in read),
        findings=findings.all(),
        texts=once.texts,
        not_kept=tuple(once.not_kept),
    )


def unpack_member(path: Path, name: str) -> Iterator[bytes]:
    """The bytes of a member that was read before, in pieces. Raises WheelError, UnpackError and OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        entry = next((entry for entry in _entries(descriptor, path, Findings()) if entry.name == name), None)
        if entry is None:
            raise WheelError(f"{path.name} no longer holds {name}")
        yield from unpacking(descriptor, entry).pieces()
    finally:
        os.close(descriptor)


def _entries(descriptor: int, path: Path, findings: Findings) -> tuple[Entry, ...]:
    try:
        return read_directory(descriptor, findings)
    except WheelError as error:
        raise WheelError(f"{path.name} is no readable zip archive: {error}") from error


def _headers(metadata: bytes) -> tuple[tuple[str, str], ...]:
    parsed = HeaderParser().parsestr(metadata.decode("utf-8", "replace"))
    return tuple((key, str(value)) for key, value in parsed.items())


def _dist_info(entries: tuple[Entry, ...], file: str, findings: Findings) -> Entry | None:
    found = sorted((entry for entry in entries if in_dist_info(entry.name, file)), key=lambda entry: entry.name)
    if not found:
        findings.add("missing", "", f"the archive holds no .dist-info/{file}")
        return None
    if len(found) > 1:
        findings.add("duplicate", found[1].name, f"more than one {file}")
    return found[0]


def _content(descriptor: int, entry: Entry | None, findings: Findings) -> bytes | None:
    if entry is None:
        return None
    data = bytearray()
    try:
        run = unpacking(descriptor, entry)
        while piece := run.next():
            data += piece
            if len(data) > _TEXT:
                findings.add("bomb", entry.name, f"more than {_TEXT >> 20} MiB")
                return None
    except UnpackError:
        return None  # told once, when every member is read
    return bytes(data)
