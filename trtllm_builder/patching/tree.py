"""The files of a checkout, read with distrust: only regular files, and never through a link that leads out."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trtllm_builder.errors import PatchError, UsageError, Where
from trtllm_builder.patching.results import Change

# Where an apply keeps its files: in the tree, so that a rename never crosses a file system; removed at the end, or by
# the next apply after a kill.
STAGING = ".trtllm-builder-patch"
_RESERVED = (".git", STAGING)
MAX_BYTES = 20_000_000
_NEW_MODE = 0o644
# What needs no quoting in a diff.
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\\"]+")


@dataclass(frozen=True)
class File:
    """``path`` is relative to the tree, links resolved. ``data`` is None where there is no such file."""

    path: str
    data: bytes | None
    mode: int


def relative_path(text: str) -> str:
    """``text`` as a path that stays inside a tree. Raises ValueError."""
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or path == PurePosixPath("."):
        raise ValueError("expected a path inside the tree, without `..`")
    if not _PLAIN.fullmatch(text) or text.startswith("-") or any(part.lower() in _RESERVED for part in path.parts):
        raise ValueError("this path is not allowed here")
    return str(path)


@dataclass
class Tree:
    """A checkout's root, and on top of it what patch operations have already made of its files."""

    root: Path
    overlay: dict[str, File] = field(default_factory=dict)
    _base: dict[str, File] = field(default_factory=dict)
    _original: dict[str, File] = field(default_factory=dict)
    _names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise UsageError(f"{self.root} is not a directory", remedy="name the directory of a TensorRT-LLM checkout")
        self.root = self.root.resolve()

    def read(self, path: str) -> File:
        """The file as the operations so far have left it."""
        original = self.original(path)
        return self.overlay.get(original.path, original)

    def original(self, path: str) -> File:
        """The file as it stands on disk. Raises PatchError when it is not one that may be read."""
        if path not in self._original:
            file = self._load(path)
            self._original[path] = self._base.get(file.path, file)
        return self._original[path]

    def put(self, file: File, data: bytes) -> None:
        """Let ``file`` have this content from now on; nothing is written."""
        self.overlay[file.path] = File(file.path, data, file.mode)

    def changes(self) -> tuple[Change, ...]:
        """What differs from the disk, by path."""
        found = []
        for path in sorted(self.overlay):
            file = self.overlay[path]
            before = self.original(path).data
            if file.data is not None and file.data != before:
                found.append(Change(path, before, file.data, file.mode))
        return tuple(found)

    def patched(self) -> Tree:
        """The same tree as if the changes were on disk already."""
        return Tree(self.root, _base=dict(self.overlay))

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Paths of the files that match; ``**`` is any directories. Without ``.git``, links and odd names."""
        form = re.compile(_regex(pattern))
        if pattern not in self._names:
            fixed = pattern.split("*", 1)[0].rpartition("/")[0]
            self._names[pattern] = tuple(path for path in self._walk(fixed) if form.fullmatch(path))
        ours = {path for path in [*self.overlay, *self._base] if form.fullmatch(path)}
        return tuple(sorted({*self._names[pattern], *ours}))

    def stray_links(self, pattern: str) -> tuple[str, ...]:
        """Links that match, or are directories of matches, and lead to what :meth:`glob` does not give."""
        files = set(self.glob(pattern))
        found = []
        for directory, names, leaves in os.walk(self.root / pattern.split("*", 1)[0].rpartition("/")[0]):
            names[:] = sorted(name for name in names if name != ".git")
            for name in [*names, *leaves]:
                full = Path(directory, name)
                if not full.is_symlink() or not full.exists():
                    continue
                path, real = full.relative_to(self.root).as_posix(), full.resolve()
                inside = real.relative_to(self.root).as_posix() if real.is_relative_to(self.root) else None
                if (inside is None) if real.is_dir() else (matches(path, pattern) and inside not in files):
                    found.append(path)
        return tuple(sorted(found))

    def _walk(self, below: str) -> Iterator[str]:
        def unreadable(error: OSError) -> None:
            if isinstance(error, (FileNotFoundError, NotADirectoryError)):
                return
            raise PatchError(f"the directory cannot be read: {error.strerror}", where=Where(str(error.filename)))

        for directory, names, files in os.walk(self.root / below, onerror=unreadable, followlinks=False):
            names[:] = sorted(name for name in names if name != ".git")
            for name in files:
                path = Path(directory, name)
                if _PLAIN.fullmatch(name) and not path.is_symlink():
                    yield path.relative_to(self.root).as_posix()

    def _load(self, path: str) -> File:
        full = self.root / path
        real = Path(os.path.realpath(full))
        if not real.is_relative_to(self.root):
            raise PatchError(
                "this is reached through a symbolic link that leads out of the tree; it was not opened",
                where=Where(str(full)),
                remedy="patch a tree whose files are its own",
            )
        name = real.relative_to(self.root).as_posix()
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return File(name, None, _NEW_MODE)
        except OSError as error:
            raise PatchError(f"the file cannot be read: {error.strerror}", where=Where(str(full))) from None
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise PatchError("this is not a regular file", where=Where(str(full)), remedy="take it away")
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise PatchError(
                f"the file is larger than {MAX_BYTES:,} bytes, so it was not read",
                where=Where(str(full)),
                remedy="no source of upstream's is: take it away",
            )
        return File(name, data, stat.S_IMODE(facts.st_mode))


def matches(path: str, pattern: str) -> bool:
    """Whether ``path`` is one that :meth:`Tree.glob` would give for ``pattern``."""
    return re.fullmatch(_regex(pattern), path) is not None


def _regex(pattern: str) -> str:
    parts = []
    for part in pattern.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
        else:
            parts.append(re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") + "/")
    return "".join(parts).removesuffix("/")
