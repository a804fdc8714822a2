"""Git LFS: pointer files in a tree, the store of objects that all workspaces share, and content put in place.

The format is https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer is text of less than 1024 bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.source.copying import copy_file
from trtllm_builder.source.digest import file_digest, walk
from trtllm_builder.source.failures import TransportError, os_errors
from trtllm_builder.text import clean

_POINTER = re.compile(
    rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v1\n"
    rb"(?:ext-\d-[A-Za-z0-9.-]+ sha256:[0-9a-f]{64}\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>\d{1,18})\n?\Z"
)
_LONGEST = 1024
_SHORTEST = len("version https://hawser.github.com/spec/v1\noid sha256:\nsize 0") + 64


@dataclass(frozen=True)
class Pointer:
    """``path`` is relative to the repository; ``oid`` is the content's sha256 in hex, ``size`` its length in bytes."""

    path: str
    oid: str
    size: int


def parse_pointer(path: str, content: bytes) -> Pointer | None:
    """The pointer that ``content`` is, or None for anything else."""
    match = _POINTER.match(content) if len(content) < _LONGEST else None
    return Pointer(path, match["oid"].decode(), int(match["size"])) if match else None


def find_pointers(root: Path) -> tuple[Pointer, ...]:
    """Every pointer below ``root`` that is still one, sorted by path; links are not followed. Raises OSError."""
    found = []
    for entry in walk(root):
        if entry.kind == "file" and _SHORTEST <= entry.status.st_size < _LONGEST:
            pointer = parse_pointer(entry.name, Path(os.path.join(root, entry.name)).read_bytes())  # noqa: PTH118
            if pointer:
                found.append(pointer)
    return tuple(sorted(found, key=lambda pointer: pointer.path))


@dataclass(frozen=True)
class Store:
    """Objects by their sha256, never changed once there; ``root`` is shared by all workspaces."""

    root: Path

    def path(self, oid: str) -> Path:
        """Where an object lies or would lie."""
        return self.root / oid[:2] / oid[2:4] / oid

    def missing(self, pointers: Iterable[Pointer]) -> tuple[Pointer, ...]:
        """One pointer for each object that is not here in its full size."""
        wanted = {pointer.oid: pointer for pointer in pointers}
        return tuple(pointer for pointer in wanted.values() if not self._holds(pointer))

    def _holds(self, pointer: Pointer) -> bool:
        try:
            return self.path(pointer.oid).stat().st_size == pointer.size
        except OSError:
            return False

    def keep(self, pointer: Pointer, arrived: Path) -> None:
        """Takes a file in that claims to be the object. TransportError, and the file removed, when it is not."""
        size = arrived.stat().st_size
        if size != pointer.size or file_digest(arrived) != pointer.oid:
            arrived.unlink()
            what = f"what arrived for {clean(pointer.path)} is not its LFS object ({pointer.oid[:12]}, {size} bytes)"
            raise TransportError("content", what, remedy="name another mirror, or the original, in the profile")
        arrived.chmod(0o444)
        arrived.replace(self.path(pointer.oid))

    def place(self, pointer: Pointer, directory: Path) -> None:
        """Puts an object's content where its pointer lies in ``directory``. TransportError when it is damaged."""
        target = directory / pointer.path
        with os_errors(f"placing {clean(pointer.path)}"):
            content = copy_file(self.path(pointer.oid), target, mode=target.lstat().st_mode & 0o777)
        if content != pointer.oid:
            self.path(pointer.oid).unlink(missing_ok=True)
            what = f"the LFS object {pointer.oid[:12]} of {clean(pointer.path)} was damaged in the cache and is removed"
            raise TransportError("corrupt", what, remedy="run the same command again to fetch it anew")
