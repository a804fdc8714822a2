"""What a directory takes, whose it is, and whether it can be removed without touching anything else."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
# stat(2): st_blocks counts these, whatever the file system's own blocks are.
_BLOCK = 512


@dataclass(frozen=True)
class Link:
    """A file with several names: its size in bytes, how many names it has, and how many of them were seen."""

    size: int
    names: int
    seen: int


@dataclass(frozen=True)
class Measured:
    """``single`` sums in bytes what has one name; ``links`` are the files with more, by device and inode. ``strange``
    is why this must not be removed, empty when it may be."""

    single: int = 0
    links: Mapping[tuple[int, int], Link] = field(default_factory=dict)
    strange: str = ""


def freed(things: Iterable[Measured]) -> int:
    """The bytes that come free when all of these go: a file that has a name elsewhere too stays."""
    total = 0
    names: dict[tuple[int, int], Link] = {}
    for thing in things:
        total += thing.single
        for key, link in thing.links.items():
            before = names.get(key)
            names[key] = Link(link.size, link.names, link.seen + (before.seen if before else 0))
    return total + sum(link.size for link in names.values() if link.seen >= link.names)


def measure(root: Path, owner: int) -> Measured:
    """Walk ``root``, a directory or a file, without following links. ``owner`` is the user whose files may be in it.
    What cannot be read, belongs to others, or has something mounted in it, is strange."""
    try:
        mounted = mounts_below(root)
        top = root.lstat()
    except OSError as error:
        return Measured(strange=f"it cannot be read: {error.strerror}")
    if mounted:
        return Measured(strange=f"something is mounted at {mounted[0]}")
    if top.st_uid != owner:
        return Measured(strange=f"it belongs to user {top.st_uid}")
    if not stat.S_ISDIR(top.st_mode):
        return Measured(single=top.st_blocks * _BLOCK)
    single, waiting = top.st_blocks * _BLOCK, [os.fspath(root)]
    links: dict[tuple[int, int], Link] = {}
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_uid != owner:
                        return Measured(strange=f"{entry.path} belongs to user {status.st_uid}")
                    size = status.st_blocks * _BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        single += size
                        waiting.append(entry.path)
                    elif status.st_nlink > 1:
                        key = (status.st_dev, status.st_ino)
                        seen = links[key].seen if key in links else 0
                        links[key] = Link(size, status.st_nlink, seen + 1)
                    else:
                        single += size
        except FileNotFoundError:
            continue  # a build at work in it; whether that is so is looked at elsewhere
        except OSError as error:
            return Measured(single, links, strange=f"{error.filename} cannot be read: {error.strerror}")
    return Measured(single, links)


def mounts_below(root: Path, table: Path = Path("/proc/self/mountinfo")) -> tuple[str, ...]:
    """Where something is mounted inside ``root`` (proc(5), mountinfo, field 5). Raises OSError."""
    inside = os.path.realpath(root).rstrip("/") + "/"
    points = []
    for line in table.read_bytes().splitlines():
        fields = line.split(b" ")
        if len(fields) > 4:
            point = os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[4]))
            if point.startswith(inside):
                points.append(point)
    return tuple(points)
