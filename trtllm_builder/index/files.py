"""Files that are on the disk when we say so, and what the disk says when they are not."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trtllm_builder.errors import PublishError

_BLOCK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SAID = {
    errno.ENOSPC: ("there is no room left", "free space there and publish again"),
    errno.EDQUOT: ("your quota there is used up", "free space there and publish again"),
    errno.EROFS: ("the file system is read-only", "publish where the index is written, not where it is served"),
    errno.EACCES: ("this user may not write there", "change its owner or permissions, or publish as its owner"),
    errno.EPERM: ("this user may not write there", "change its owner or permissions, or publish as its owner"),
}


@contextmanager
def told(root: Path) -> Iterator[None]:
    """Makes a PublishError of what the disk of the index at ``root`` refuses."""
    try:
        yield
    except OSError as error:
        what, remedy = _SAID.get(
            error.errno or 0, ((error.strerror or str(error)).lower(), "see to that disk, then publish again")
        )
        at = f" ({error.filename})" if error.filename and str(error.filename) != str(root) else ""
        raise PublishError(
            f"{root} could not be written: {what}{at}", remedy=f"the index is as it was; {remedy}"
        ) from error


def make_directory(path: Path) -> None:
    """``path``, unless it is there, for a web server to read: see ``_show``. Raises OSError."""
    path.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _show(descriptor, 0o555)
    finally:
        os.close(descriptor)


def _show(descriptor: int, bits: int) -> None:
    """Everybody may read what an index holds, whatever the publisher's umask; who may write there is left to that."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & bits != bits:
        os.fchmod(descriptor, mode | bits)


def write(path: Path, data: bytes) -> None:
    """A new file, durable but for its name: see ``settle``. Raises OSError, also when it is there."""
    descriptor = os.open(path, _NEW, 0o666)
    try:
        _show(descriptor, 0o444)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy(source: Path, target: Path) -> str:
    """``source`` as a new file, as ``write`` makes it; sha256 of what was copied, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with source.open("rb") as reader:
        descriptor = os.open(target, _NEW, 0o666)
        try:
            _show(descriptor, 0o444)
            while block := reader.read(_BLOCK):
                digest.update(block)
                rest = memoryview(block)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return digest.hexdigest()


def settle(directory: Path) -> None:
    """The names in ``directory`` are durable from here on. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of a directory; their servers order names themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def link(source: Path, target: Path) -> None:
    """``target`` is ``source``'s file once more, or a copy where there are no hard links. Raises OSError."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
            raise
        copy(source, target)


def point(path: Path, target: str) -> None:
    """The symbolic link ``path`` leads to ``target`` from one moment to the next. Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)
    settle(path.parent)


def remove(path: Path) -> None:
    """``path`` and all in it; never what a symbolic link leads to. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def has(path: Path, sha256: str) -> bool:
    """Whether it is a file of these bytes, and no link to one."""
    try:
        return path.is_file() and not path.is_symlink() and sha256_of(path) == sha256
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """In hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
