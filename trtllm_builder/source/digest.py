"""One digest for all of a tree: what each path is, whether it may be executed, and what it holds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GIT = b".git"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Found:
    """One entry of a tree. ``path`` is relative, in the file system's own bytes; ``status`` is its lstat."""

    path: bytes
    kind: Literal["file", "directory", "link", "other"]
    status: os.stat_result

    @property
    def name(self) -> str:
        return os.fsdecode(self.path)


def walk(root: Path, *, exclude: frozenset[bytes] = frozenset()) -> Iterator[Found]:
    """Every entry below ``root`` in a fixed order, parents first; links are not followed, ``.git`` is left out.

    ``exclude`` are relative paths left out with all below them. Raises OSError.
    """
    top = os.fsencode(root)
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        below = []
        with os.scandir(os.path.join(top, directory)) as entries:  # noqa: PTH118 - bytes, which Path cannot hold
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            path = directory + b"/" + entry.name if directory else entry.name
            if entry.name == GIT or path in exclude:
                continue
            if entry.is_symlink():
                kind = "link"
            elif entry.is_dir(follow_symlinks=False):
                kind = "directory"
                below.append(path)
            else:
                kind = "file" if entry.is_file(follow_symlinks=False) else "other"
            yield Found(path, kind, entry.stat(follow_symlinks=False))  # type: ignore[arg-type]
        waiting.extend(reversed(below))


def file_digest(path: str | os.PathLike[str] | bytes) -> str:
    """sha256 of a file's content, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - may be bytes
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def executable(mode: int) -> bool:
    """Whether the owner may execute it: all of a mode that git keeps too."""
    return bool(mode & stat.S_IXUSR)


def combine(entries: Iterable[tuple[bytes, str, str]]) -> str:
    """``sha256:...`` over (path, kind, content): sha256 for files (kind ``file`` or ``program``), target for links."""
    whole = hashlib.sha256()
    for path, kind, content in sorted(entries):
        whole.update(b"%d:%s %s %s\n" % (len(path), path, kind.encode(), os.fsencode(content)))
    return f"sha256:{whole.hexdigest()}"


def tree_digest(root: Path, *, exclude: frozenset[bytes] = frozenset()) -> str:
    """The digest of all files and links below ``root``; times, owners, empty directories and ``.git`` do not count.

    Raises OSError.
    """
    top = os.fsencode(root)
    listed = [found for found in walk(root, exclude=exclude) if found.kind in ("file", "link")]

    def content(found: Found) -> tuple[bytes, str, str]:
        path = os.path.join(top, found.path)  # noqa: PTH118
        if found.kind == "link":
            return found.path, "link", os.fsdecode(os.readlink(path))  # noqa: PTH115
        return found.path, file_kind(found.status.st_mode), file_digest(path)

    with ThreadPoolExecutor(max_workers=4) as pool:
        return combine(pool.map(content, listed, chunksize=64))


def file_kind(mode: int) -> str:
    """``program`` when executable, else ``file``: the words that ``combine`` digests."""
    return "program" if executable(mode) else "file"
