"""A tree kept equal to another one: surveyed by digest, copied where it differs, what vanished taken away."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtllm_builder.errors import SourceError
from trtllm_builder.source.copying import copy_file
from trtllm_builder.source.digest import Found, combine, file_digest, file_kind, walk
from trtllm_builder.text import clean

Items = dict[str, "Item"]


@dataclass(frozen=True)
class Item:
    """One entry of the source. ``mark`` changes with every write to it; ``copied`` is (size, mtime ns) of its copy."""

    kind: str
    mode: int
    content: str
    """sha256 of a file, target of a link, empty for a directory."""
    mark: tuple[int, int, int, int]
    copied: tuple[int, int] | None = None

    @classmethod
    def from_json(cls, row: Any) -> Item:
        """Raises ValueError, TypeError or KeyError for anything else than ``to_json``'s list."""
        kind, mode, content, (size, mtime, ctime, inode), copied = row
        pair = (int(copied[0]), int(copied[1])) if copied else None
        return cls(str(kind), int(mode), str(content), (int(size), int(mtime), int(ctime), int(inode)), pair)

    def to_json(self) -> list[object]:
        return [self.kind, self.mode, self.content, self.mark, self.copied]


@dataclass(frozen=True)
class Survey:
    """All of a source; ``skipped`` are the sockets, pipes and devices that cannot be copied."""

    items: Items
    skipped: tuple[str, ...]

    @property
    def digest(self) -> str:
        """As digest.tree_digest would say it."""
        return combine(
            (os.fsencode(path), file_kind(item.mode) if item.kind == "file" else item.kind, item.content)
            for path, item in self.items.items()
            if item.kind != "directory"
        )

    def leading_out(self) -> tuple[str, ...]:
        """Links whose target is not below the root, as far as their text tells."""
        return tuple(
            path for path, item in self.items.items() if item.kind == "link" and _leads_out(path, item.content)
        )


def _leads_out(path: str, target: str) -> bool:
    landed = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120 - text only
    return target.startswith("/") or landed == ".." or landed.startswith("../")


def survey(root: Path, known: Mapping[str, Item], *, exclude: frozenset[bytes]) -> Survey:
    """Looks at every entry; contents of files that bear the same mark as in ``known`` are not read. Raises OSError."""
    found = list(walk(root, exclude=exclude))

    def look(one: Found) -> tuple[str, Item]:
        status = one.status
        mark = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        before = known.get(one.name)
        if one.kind == "link":
            content = os.fsdecode(os.readlink(os.path.join(os.fsencode(root), one.path)))  # noqa: PTH115, PTH118
        elif one.kind == "directory":
            content = ""
        elif before and before.kind == "file" and before.mark == mark:
            content = before.content
        else:
            content = file_digest(os.path.join(os.fsencode(root), one.path))  # noqa: PTH118
        return one.name, Item(one.kind, stat.S_IMODE(status.st_mode), content, mark)

    with ThreadPoolExecutor(max_workers=4) as pool:
        items = dict(pool.map(look, (one for one in found if one.kind != "other"), chunksize=64))
    return Survey(items, tuple(one.name for one in found if one.kind == "other"))


def sync(source: Path, target: Path, items: Items, before: Mapping[str, Item], *, fresh: bool) -> Items:
    """Makes ``target`` hold ``items`` of ``source`` and drops those of ``before`` that are gone; returns the new items.

    What is equal already is not touched and keeps its time. In a fresh copy files get their source's times; in an older
    one changed files get the present time, for a build there must see them as new. What else lies in ``target`` stays.
    Links in ``target`` are never followed. Raises OSError, or SourceError for a source that changes meanwhile.
    """
    for path in sorted(set(before) - set(items), reverse=True):
        _drop(target / path, before[path].kind)
    done: Items = {}
    for path, item in items.items():
        place = target / path
        if item.kind == "directory":
            _make_directory(place)
        elif item.kind == "link":
            if not (place.is_symlink() and os.fspath(place.readlink()) == item.content):
                _clear(place)
                place.symlink_to(item.content)
        elif not _equal(place, item, before.get(path)):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            if copy_file(source / path, place, mode=_writable(item.mode)) != item.content:
                what = f"{source / path} changed while it was being copied"
                raise SourceError(what, remedy="let nothing write to the source and run this again")
            if fresh:
                os.utime(place, ns=(item.mark[1], item.mark[1]))
        if item.kind == "file":
            status = place.lstat()
            item = replace(item, copied=(status.st_size, status.st_mtime_ns))
        done[path] = item
    return done


def changed_items(target: Path, items: Mapping[str, Item]) -> tuple[str, ...]:
    """Files and links of ``items`` whose copy in ``target`` is no longer what was copied. Raises OSError."""
    return tuple(
        path for path, item in items.items() if item.kind != "directory" and not _equal(target / path, item, item)
    )


def _equal(place: Path, item: Item, before: Item | None) -> bool:
    try:
        status = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if item.kind == "link":
        return stat.S_ISLNK(status.st_mode) and os.fspath(place.readlink()) == item.content
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != _writable(item.mode):
        return False
    known = before and before.content == item.content and before.copied == (status.st_size, status.st_mtime_ns)
    return bool(known) or (status.st_size == item.mark[0] and file_digest(place) == item.content)


def _writable(mode: int) -> int:
    # Patches must be able to change a copy of a read-only source; set-user-id bits stay behind.
    return (mode & 0o777) | 0o600


def _make_directory(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        return
    _clear(place)
    place.mkdir()


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _drop(place: Path, kind: str) -> None:
    try:
        if kind != "directory":
            place.unlink(missing_ok=True)
        elif not place.is_symlink() and not any(place.iterdir()):
            place.rmdir()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return


def shown(paths: Iterable[str], count: int = 3) -> str:
    """The first few of many paths, for a note."""
    listed = list(paths)
    return clean(", ".join(listed[:count])) + (f" and {len(listed) - count} more" if len(listed) > count else "")
