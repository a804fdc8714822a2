"""Unpacking a tar archive that someone handed us: nothing may land, or point, outside the directory it is for."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from trtllm_builder.errors import HostError, Where

_MEMBERS = 200_000


def _keep_all(_name: str) -> bool:
    return False


def extract(archive: Path, destination: Path, *, skip: Callable[[str], bool] = _keep_all) -> None:
    """Unpacks regular files, directories and links into ``destination``, less what ``skip(name)`` names.

    Symbolic links are made last, so that no member is ever written through one. Owners, special bits and times are not
    taken over. Raises HostError for a file that is no whole tar archive, or has a member that does not belong in one.
    """
    where = Where(str(archive))
    try:
        with tarfile.open(archive, mode="r:*") as tar:
            _extract(tar, destination.resolve(), skip, where)
            # Reading on to the end makes the compressed stream check its sum; tarfile itself stops before.
            while tar.fileobj and tar.fileobj.read(2**20):
                pass
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise HostError(
            f"not a whole tar archive: {error}", where=where, remedy="download it again and compare its size"
        ) from error
    except OSError as error:
        # A bad checksum arrives as an OSError without a number; those with one are the disk's.
        if error.errno is not None:
            raise
        raise HostError(f"damaged: {error}", where=where, remedy="download it again and compare its size") from error


def _extract(tar: tarfile.TarFile, destination: Path, skip: Callable[[str], bool], where: Where) -> None:
    room = shutil.disk_usage(destination).free
    links: list[tuple[Path, str]] = []
    for count, member in enumerate(tar, start=1):
        if count > _MEMBERS:
            raise HostError(f"more than {_MEMBERS} members", where=where, remedy="this is not the archive we expect")
        target = destination / _relative(member.name, where)
        if skip(member.name) or target == destination:
            continue
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        elif member.isreg():
            room -= member.size
            if room < 0:
                raise HostError(
                    f"unpacks to more than the free room in {destination}",
                    where=where,
                    remedy="free some room, or set XDG_DATA_HOME to a directory on a larger disk",
                )
            _write(tar, member, target)
        elif member.issym():
            links.append((target, member.linkname))
        elif member.islnk():
            _hard_link(destination / _relative(member.linkname, where), target, member.name, where)
        else:
            raise _hostile(member.name, "is a device or a pipe", where)
    _link(destination, links, where)


def _relative(name: str, where: Where) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise _hostile(name, "leaves the archive's directory", where)
    return Path(*path.parts)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with source, open(os.open(target, flags, 0o755 if member.mode & 0o111 else 0o644), "wb") as file:  # noqa: PTH123
        shutil.copyfileobj(source, file, 2**20)


def _hard_link(source: Path, target: Path, name: str, where: Where) -> None:
    if not source.is_file():
        raise _hostile(name, "is a hard link to something that is not in the archive", where)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(source, target)


def _link(destination: Path, links: list[tuple[Path, str]], where: Where) -> None:
    for target, text in links:
        if target.exists() or target.is_symlink():
            raise _hostile(target.relative_to(destination).as_posix(), "is there twice", where)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(text)
    for target, text in links:
        if not Path(os.path.realpath(target)).is_relative_to(destination):
            raise _hostile(target.relative_to(destination).as_posix(), f"points outside, at {text!r}", where)


def _hostile(name: str, what: str, where: Where) -> HostError:
    return HostError(
        f"member {name!r} {what}; nothing was kept", where=where, remedy="get the archive from NVIDIA's own page again"
    )
