"""A wheel written again so that the same contents are the same bytes.

Members sorted with ``.dist-info`` last and RECORD at the very end (as the binary distribution format recommends,
https://packaging.python.org/en/latest/specifications/binary-distribution-format/), one fixed time, fixed modes,
one codec and level, and a RECORD made anew from what is really inside.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from trtllm_builder.errors import VerifyError

_BLOCK = 1024 * 1024
# The zip format cannot say anything earlier (APPNOTE.TXT 4.4.6: MS-DOS time begins in 1980).
_EARLIEST = 315532800


@dataclass(frozen=True)
class Normalised:
    """The rewritten wheel: where, its SHA-256 and size in bytes, and the time in every member (seconds since 1970)."""

    path: Path
    sha256: str
    size: int
    epoch: int


def normalise(
    wheel: Path, destination: Path, *, epoch: int, changed: Mapping[str, Path] = MappingProxyType({})
) -> Normalised:
    """Write ``wheel`` to ``destination`` (a directory) under the same name, byte for byte determined by its contents.

    ``changed`` maps members to files that take their place.

    Raises VerifyError when the archive has no single RECORD, a member twice, or cannot be read.
    """
    destination.mkdir(parents=True, exist_ok=True)
    result = destination / wheel.name
    partial = destination / f".{wheel.name}.partial"
    stamp = time.gmtime(max(epoch, _EARLIEST))[:6]
    try:
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(partial, "w") as new:
            names = [info.filename for info in old.infolist() if not info.is_dir()]
            records = [name for name in names if name.count("/") == 1 and name.endswith(".dist-info/RECORD")]
            if len(records) != 1 or len(set(names)) != len(names):
                raise VerifyError(f"{wheel} is not a wheel: {len(records)} RECORD files, {len(names)} members")
            rows: list[tuple[str, str, str]] = []
            for name in sorted((n for n in names if n != records[0]), key=lambda n: (".dist-info/" in n, n)):
                info = zipfile.ZipInfo(name, stamp)
                executable = old.getinfo(name).external_attr >> 16 & 0o111
                _describe(info, 0o755 if executable else 0o644)
                digest, size = _copy(old, name, new, info, changed.get(name))
                rows.append((name, f"sha256={digest}", str(size)))
            rows.append((records[0], "", ""))
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows(rows)
            info = zipfile.ZipInfo(records[0], stamp)
            _describe(info, 0o644)
            new.writestr(info, table.getvalue(), zipfile.ZIP_DEFLATED)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise VerifyError(f"{wheel} cannot be read as a zip archive: {error}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(result)
    return Normalised(result, sha256_of(result), result.stat().st_size, max(epoch, _EARLIEST))


def _describe(info: zipfile.ZipInfo, mode: int) -> None:
    info.create_system = 3  # Unix, so that the modes count
    info.external_attr = (0o100000 | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED  # at zlib's default level, 6


def _copy(
    old: zipfile.ZipFile, name: str, new: zipfile.ZipFile, info: zipfile.ZipInfo, instead: Path | None
) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    # The size decides whether zip64 fields are written, so it must be known before the first byte.
    info.file_size = instead.stat().st_size if instead else old.getinfo(name).file_size
    with instead.open("rb") if instead else old.open(name) as source, new.open(info, "w") as target:
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            target.write(block)
    # RECORD's form: urlsafe base64 without padding.
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode(), size


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
