"""A wheel written again so that the same contents are the same bytes.

Members sorted with ``.dist-info`` last and RECORD at the very end (as the binary distribution format recommends,
https://packaging.python.org/en/latest/specifications/binary-distribution-format/), one fixed time, fixed modes,
one codec and level (codec.py), and a RECORD made anew from what is really inside.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from trtllm_builder.binary.findings import Findings
from trtllm_builder.binary.members import unpacking
from trtllm_builder.binary.names import check_names
from trtllm_builder.binary.record import in_dist_info
from trtllm_builder.binary.unpack import UnpackError
from trtllm_builder.binary.zip_directory import Entry, WheelError, read_directory
from trtllm_builder.errors import VerifyError
from trtllm_builder.repro.codec import BLOCK, CODEC, Codec
from trtllm_builder.repro.packing import Source, of_bytes, write_members
from trtllm_builder.repro.zip_writer import ZipWriter

# The zip format cannot say anything earlier or later (APPNOTE.TXT 4.4.6: MS-DOS time is from 1980 to 2107).
_EARLIEST, _LATEST = 315532800, 4354819198
# Cured by writing it again, or for verification to judge.
_HARMLESS = {"mode", "hidden", "alike"}
_BUILD_TAG = re.compile(r"[0-9][A-Za-z0-9_.]*")


@dataclass(frozen=True)
class Normalised:
    """The rewritten wheel: where, its SHA-256 and size in bytes, the time in every member (seconds since 1970), and
    what packed them."""

    path: Path
    sha256: str
    size: int
    epoch: int
    codec: Codec


def normalise(
    wheel: Path,
    destination: Path,
    *,
    epoch: int,
    changed: Mapping[str, Path] = MappingProxyType({}),
    added: Mapping[str, bytes] = MappingProxyType({}),
    build_tag: str = "",
    threads: int | None = None,
) -> Normalised:
    """Write ``wheel`` to ``destination`` (a directory), byte for byte determined by its contents and the arguments.

    ``changed`` maps members to files that take their place. ``added`` maps paths within the ``.dist-info`` directory to
    contents; one that is there already is replaced. ``build_tag`` (it begins with a digit) goes into the file name and
    into WHEEL, in place of one that is there. ``threads`` None: as many as there are processors.

    Raises VerifyError when the archive has no single RECORD, a member twice, or cannot be read.
    """
    destination.mkdir(parents=True, exist_ok=True)
    result = destination / (_renamed(wheel.name, build_tag) if build_tag else wheel.name)
    unfinished = destination / f".{result.name}.partial"
    stamp = min(max(epoch, _EARLIEST), _LATEST)
    descriptor = os.open(wheel, os.O_RDONLY | os.O_CLOEXEC)
    try:
        record, sources = _members(descriptor, wheel, changed, added, build_tag)
        with unfinished.open("w+b") as stream:
            writer = ZipWriter(stream, _date(stamp))
            sha256 = write_members(sources, record, writer, threads or len(os.sched_getaffinity(0)))
        unfinished.replace(result)
    except (UnpackError, WheelError) as error:
        raise VerifyError(f"{wheel} cannot be read as a zip archive: {error}") from error
    finally:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
    return Normalised(result, sha256, result.stat().st_size, stamp, CODEC)


def _date(epoch: int) -> tuple[int, int, int, int, int, int]:
    year, month, day, hour, minute, second, *_ = time.gmtime(epoch)
    return year, month, day, hour, minute, second


def _members(
    descriptor: int, wheel: Path, changed: Mapping[str, Path], added: Mapping[str, bytes], build_tag: str
) -> tuple[str, list[Source]]:
    """RECORD's name, and all other members in the order they are written."""
    findings = Findings()
    entries = read_directory(descriptor, findings)
    check_names(entries, findings)
    wrong = next((finding for finding in findings.all() if finding.kind not in _HARMLESS), None)
    if wrong is not None:
        where = f"{wrong.member!r}: " if wrong.member else ""
        raise VerifyError(f"{wheel} is no sound archive: {where}{wrong.what}")
    files = [entry for entry in entries if not entry.directory]
    records = [entry.name for entry in files if in_dist_info(entry.name, "RECORD")]
    if len(records) != 1:
        raise VerifyError(f"{wheel} is not a wheel: {len(records)} RECORD files, {len(files)} members")
    info = records[0].removesuffix("RECORD")
    sources = {entry.name: _of_entry(descriptor, entry, changed.get(entry.name)) for entry in files}
    del sources[records[0]]
    texts = {info + name: data for name, data in added.items()}
    if build_tag:
        if info + "WHEEL" not in sources:
            raise VerifyError(f"{wheel} is not a wheel: it has no WHEEL file")
        texts[info + "WHEEL"] = _tagged(b"".join(sources[info + "WHEEL"].pieces()), build_tag)
    sources |= {name: of_bytes(name, data) for name, data in texts.items()}
    return records[0], sorted(sources.values(), key=lambda one: (".dist-info/" in one.name, one.name))


def _of_entry(descriptor: int, entry: Entry, instead: Path | None) -> Source:
    mode = 0o755 if entry.mode & 0o111 else 0o644
    if instead is not None:
        return Source(entry.name, mode, instead.stat().st_size, lambda: _of_file(instead))
    return Source(entry.name, mode, entry.size, lambda: unpacking(descriptor, entry, once=True).pieces(), entry.crc)


def _of_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(BLOCK):
            yield piece


def _tagged(wheel_file: bytes, build_tag: str) -> bytes:
    """WHEEL with this ``Build`` behind its first line, and no other."""
    lines = [line for line in wheel_file.splitlines() if not line.lower().startswith(b"build:")]
    return b"\n".join([*lines[:1], f"Build: {build_tag}".encode(), *lines[1:], b""])


def _renamed(name: str, build_tag: str) -> str:
    """PEP 427: ``name-version(-build)?-python-abi-platform.whl``; a build tag begins with a digit."""
    parts = name.split("-")
    if not _BUILD_TAG.fullmatch(build_tag):
        raise VerifyError(f"{build_tag!r} is no build tag: it must begin with a digit")
    if len(parts) not in (5, 6):
        raise VerifyError(f"{name} is no wheel's name")
    return "-".join([*parts[:2], build_tag, *parts[-3:]])


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
