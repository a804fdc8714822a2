"""Reading a checkout that may be hostile: nothing outside it, nothing huge, nothing that is not a plain file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_LIMIT = 4 * 2**20  # bytes; upstream's largest source that we read is far below 1 MB


class Tree:
    """A checkout's directory. ``notes`` collects, once each, what was there and was not read, with the reason."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def note(self, text: str) -> None:
        self._notes[text] = None

    def read(self, relative: str, limit: int = _LIMIT) -> bytes | None:
        """The file's bytes; None when it is absent, or (with a note) when it should not be read."""
        path = self.root / relative
        try:
            inside = Path(os.path.realpath(path))
            if inside != self.root and self.root not in inside.parents:
                self.note(f"{relative} is a symbolic link that leaves the checkout; it was not read")
                return None
            # O_NONBLOCK: opening a FIFO would otherwise wait for a writer.
            descriptor = os.open(inside, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            self.note(f"{relative} could not be read: {getattr(error, 'strerror', None) or error}")
            return None
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                self.note(f"{relative} is not a plain file; it was not read")
                return None
            if facts.st_size > limit:
                self.note(f"{relative} has {facts.st_size} bytes; files over {limit} are not read")
                return None
            try:
                return stream.read(limit + 1)[:limit]
            except OSError as error:
                self.note(f"{relative} could not be read: {error.strerror}")
                return None

    def text(self, relative: str) -> str | None:
        """The file as text; bytes that are not UTF-8 become replacement characters."""
        data = self.read(relative)
        return None if data is None else data.decode("utf-8", "replace")

    def files(
        self, under: str = "", skip: frozenset[str] = frozenset({".git"}), odd: str | None = None
    ) -> Iterator[tuple[str, int]]:
        """(relative path, size) of every plain file below; links are not followed, ``skip`` are directory names. What
        ends with ``odd`` and is neither a file nor a link to one gets a note."""
        waiting = [under]
        while waiting:
            directory = waiting.pop()
            try:
                entries = sorted(os.scandir(self.root / directory), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self.note(f"{_brief(directory)} could not be listed: {error.strerror}")
                continue
            below = []
            for entry in entries:
                relative = f"{directory}/{entry.name}" if directory else entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in skip:
                            below.append(relative)
                    elif entry.is_file(follow_symlinks=False):
                        yield relative, entry.stat(follow_symlinks=False).st_size
                    elif odd and entry.name.endswith(odd) and not Path(entry.path).is_file():
                        self.note(f"{_brief(relative)} is not a plain file; it was not looked into")
                except OSError as error:
                    self.note(f"{_brief(relative)} could not be read: {error.strerror}")
            waiting.extend(reversed(below))


def _brief(path: str) -> str:
    return path if len(path) <= 120 else f"{path[:60]}...{path[-40:]}"
