"""One file with everything that a build would download: an uncompressed tar, its manifest first, each part by sha256.

Format: a GNU tar of plain files. The first is ``manifest.json`` (schemas/bundle.json), which lists every further member
in the order in which they follow, with size and sha256. Times, owners and modes are constant, so that equal content
makes an equal archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from trtllm_builder.errors import SourceError, Where
from trtllm_builder.text import clean

SCHEMA = 1
MANIFEST = "manifest.json"
_NAME = re.compile(r"(?:git|lfs|wheels|archives)/[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\Z", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_LARGEST_MANIFEST = 16 * 2**20
_MOST_PARTS = 100_000
_BLOCK = 1 << 20
_REMEDY = "copy the bundle again, or make a new one with trtllm-build fetch --bundle"


@dataclass(frozen=True)
class Part:
    """A member of the archive; ``size`` in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """``facts`` is what the bundle was made for and how its parts belong together (build/bundle.py)."""

    facts: Mapping[str, Any]
    parts: tuple[Part, ...]

    def to_bytes(self) -> bytes:
        document = {"schema": SCHEMA, **self.facts, "parts": [asdict(part) for part in self.parts]}
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"

    @property
    def digest(self) -> str:
        """Names the bundle's whole content, since every part is in here by its hash."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def write_bundle(target: Path, facts: Mapping[str, Any], files: Mapping[str, Path]) -> Manifest:
    """Writes the archive and gives it its name when it is whole. ``files`` maps member names to their content.

    Raises OSError.
    """
    parts = tuple(Part(name, *_measure(files[name])) for name in sorted(files))
    manifest = Manifest(facts, parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.partial")
    try:
        with tarfile.open(fresh, "w:", format=tarfile.GNU_FORMAT) as tar:
            text = manifest.to_bytes()
            tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
            for part in parts:
                with files[part.name].open("rb") as stream:
                    tar.addfile(_member(part.name, part.size), stream)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return manifest


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    return member


def _measure(path: Path) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            total.update(block)
            size += len(block)
    return total.hexdigest(), size


def read_manifest(bundle: Path) -> Manifest:
    """What a bundle says of itself; nothing is unpacked. Raises SourceError."""
    with _reading(bundle) as reader:
        return reader.manifest()


def unpack_bundle(bundle: Path, destination: Path) -> Manifest:
    """Every part into ``destination``, which must be empty; nothing else, and nothing whose hash is another.

    Raises SourceError for an archive that is not exactly what its manifest says, OSError for the disk's faults.
    """
    with _reading(bundle) as reader:
        manifest = reader.manifest()
        for part in manifest.parts:
            reader.part(part, destination / part.name)
        reader.end()
    return manifest


class _Reader:
    """Reads member after member, and never asks the archive where something goes."""

    def __init__(self, bundle: Path, stream: IO[bytes]) -> None:
        self.bundle, self.stream = bundle, stream

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def fault(self, what: str) -> SourceError:
        return SourceError(f"not a sound bundle: {what}", where=Where(str(self.bundle)), remedy=_REMEDY)

    def _header(self) -> tarfile.TarInfo:
        block = self.stream.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE:
            raise self.fault("it ends too early")
        if not block.strip(b"\0"):
            raise self.fault("it ends before all that its manifest lists")
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise self.fault(f"it is no tar archive where one should go on ({error})") from None

    def _begin(self, name: str) -> int:
        member = self._header()
        if member.name == "././@LongLink" and member.type == tarfile.GNUTYPE_LONGNAME:
            length = member.size
            if not 0 < length <= tarfile.BLOCKSIZE:
                raise self.fault("a member's name is too long")
            found = self._read(length).rstrip(b"\0").decode("utf-8", "replace")
            self._pad(length)
            member = self._header()
        else:
            found = member.name
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise self.fault(f"{clean(found)[:120]} is no plain file")
        if found != name:
            raise self.fault(f"{clean(found)[:120]} stands where {name} should")
        return member.size

    def _read(self, size: int) -> bytes:
        data = self.stream.read(size)
        if len(data) < size:
            raise self.fault("it ends too early")
        return data

    def _pad(self, size: int) -> None:
        if self._read(-size % tarfile.BLOCKSIZE).strip(b"\0"):
            raise self.fault("there is something between two members")

    def manifest(self) -> Manifest:
        size = self._begin(MANIFEST)
        if not 0 < size <= _LARGEST_MANIFEST:
            raise self.fault(f"its manifest has {size} bytes")
        data = self._read(size)
        self._pad(size)
        try:
            document = json.loads(data)
            schema = document.pop("schema")
            parts = tuple(Part(str(one["name"]), str(one["sha256"]), int(one["size"])) for one in document.pop("parts"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self.fault("its manifest cannot be read") from None
        if schema != SCHEMA:
            raise SourceError(
                f"the bundle has the schema {clean(str(schema))[:20]}, and this version reads {SCHEMA}",
                where=Where(str(self.bundle)),
                remedy="make it with the version of trtllm-builder that is to build from it",
            )
        names = [part.name for part in parts]
        odd = next((part.name for part in parts if not _NAME.match(part.name)), None)
        if odd is not None:
            raise self.fault(f"its manifest names {clean(odd)[:120]!r}, which no bundle of ours has")
        if any(not _SHA256.match(part.sha256) or part.size < 0 for part in parts) or len(parts) > _MOST_PARTS:
            raise self.fault("its manifest has a part without a size or a hash")
        if names != sorted(set(names)):
            raise self.fault("its manifest names a part twice, or in disorder")
        return Manifest(document, parts)

    def part(self, part: Part, place: Path) -> None:
        if self._begin(part.name) != part.size:
            raise self.fault(f"{part.name} has another size than the manifest says")
        place.parent.mkdir(parents=True, exist_ok=True)
        total, left = hashlib.sha256(), part.size
        with place.open("xb") as stream:
            while left:
                block = self._read(min(left, _BLOCK))
                left -= len(block)
                total.update(block)
                stream.write(block)
        self._pad(part.size)
        if total.hexdigest() != part.sha256:
            raise self.fault(f"{part.name} is not what the manifest says: its hash is another")

    def end(self) -> None:
        ending = self.stream.read(tarfile.RECORDSIZE + 1)
        if len(ending) < 2 * tarfile.BLOCKSIZE:
            raise self.fault("it ends too early")
        if ending.strip(b"\0") or len(ending) > tarfile.RECORDSIZE:
            raise self.fault("there is more in it than its manifest lists")


def _reading(bundle: Path) -> _Reader:
    try:
        if not bundle.is_file():
            raise SourceError(f"the bundle {bundle} is not a file", remedy="trtllm-build fetch --bundle FILE makes one")
        return _Reader(bundle, bundle.open("rb"))
    except OSError as error:
        raise SourceError(f"the bundle {bundle} cannot be read: {error.strerror}", remedy=_REMEDY) from error
