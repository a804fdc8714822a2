"""Files copied without cost where the file system can (reflink), byte by byte otherwise."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_BLOCK = 1 << 20
Name = Path | bytes


def copy_file(source: Name, target: Name, *, mode: int) -> str:
    """Writes ``target`` anew with ``mode`` and returns the sha256 of what was read, in hex. Raises OSError.

    The target is made under another name first, so a killed copy leaves no half a file under its own.
    """
    fresh = os.fsencode(target) + b".trtllm-new"
    digest = hashlib.sha256()
    _remove(fresh)
    try:
        with open(source, "rb", buffering=0) as reading:  # noqa: PTH123 - may be bytes
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(fresh, flags, 0o600), "wb", buffering=0) as writing:  # noqa: PTH123
                cloned = _clone(reading.fileno(), writing.fileno())
                while block := reading.read(_BLOCK):
                    digest.update(block)
                    if not cloned:
                        _write_all(writing.fileno(), block)
                os.fchmod(writing.fileno(), mode)
        os.replace(fresh, target)  # noqa: PTH105
    except BaseException:
        _remove(fresh)
        raise
    return digest.hexdigest()


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return
