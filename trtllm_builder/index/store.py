"""An index on a disk, such that a web server shows the old one or the new one and nothing between.

    files/PROJECT/SHA256/       a wheel and what belongs to it; placed whole, by one rename, and never changed
    .generations/00000012/      all pages of one state; a project's are a link to its directory in .pages
    .pages/SHA256/              pages of a project, in as many states and variants as they are the same
    .current -> .generations/00000012       one rename of this link is the whole change
    simple, v, locks, index.html -> .current/...

A publisher notes where it will place files, places them, writes a generation, makes all durable and then turns the
link. Killed before that, it leaves things that no page names; the next one removes them, and no other file. The
generation before stays for whoever is reading it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.errors import PublishError
from trtllm_builder.index.files import copy, make_directory, point, remove, settle, told, write
from trtllm_builder.index.generation import GENERATIONS, PAGES, mending, unused_pages, write_generation
from trtllm_builder.index.journal import forget, note, noted
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.opening import CURRENT, FILES, GENERATION, INCOMING, LOCK, PATIENCE, Store, nobody_waits
from trtllm_builder.index.salvage import places
from trtllm_builder.index.turn import my_turn


@dataclass(frozen=True)
class Turn:
    """The right to change an index, as ``taking_turn`` gives it, and what it holds."""

    root: Path
    shown: Path
    index: Index
    fit: bool

    def place(self, wheel: Wheel, source: Path, metadata: bytes, beside: Mapping[str, Path]) -> None:
        """Copies the wheel and what belongs beside it (by suffix) to where its pages will look for it.

        Raises PublishError when one of them is no longer what ``wheel`` says; OSError.
        """
        incoming = self.root / INCOMING
        remove(incoming)
        make_directory(incoming)
        _copy(source, incoming / wheel.filename, wheel.sha256)
        write(incoming / f"{wheel.filename}.metadata", metadata)
        for suffix, path in beside.items():
            _copy(path, incoming / f"{wheel.filename}{suffix}", wheel.beside[suffix])
        settle(incoming)
        final = self.root / wheel.directory
        if os.path.lexists(final.parent):
            _refuse_link(final.parent)
        make_directory(final.parent)
        if os.path.lexists(final):
            _refuse_link(final)
            _replace(final, incoming)
        else:
            note(self.root, [wheel.directory])
            incoming.rename(final)
        settle(final.parent)
        settle(final.parent.parent)

    def put_beside(self, wheel: Wheel, beside: Mapping[str, Path]) -> None:
        """New files, or newer ones, beside a wheel that is there, each by a rename; what ``wheel`` no longer has goes.

        Raises PublishError when one of them is no longer what ``wheel`` says; OSError.
        """
        for suffix, source in beside.items():
            target = self.root / f"{wheel.path}{suffix}"
            if source != target:
                fresh = target.with_name(f"{target.name}.new")
                remove(fresh)
                _copy(source, fresh, wheel.beside[suffix])
                fresh.replace(target)
        named = {wheel.filename + suffix for suffix in ("", ".metadata", *wheel.beside)}
        for path in (self.root / wheel.directory).iterdir():
            if path.name not in named:
                remove(path)
        settle(self.root / wheel.directory)

    def show(self, index: Index) -> None:
        """From here on the index holds ``index``, whose files are all placed. Raises OSError."""
        fresh = self.shown.with_name(f"{int(self.shown.name) + 1:08d}")
        stay = {wheel.directory for wheel in index.wheels}
        note(self.root, sorted({wheel.directory for wheel in self.index.wheels} - stay))
        write_generation(self.root, fresh, index, (self.shown, self.index) if self.fit else None)
        point(self.root / CURRENT, f"{GENERATIONS}/{fresh.name}")
        tidy(self.root, fresh.name, index)


def _replace(final: Path, incoming: Path) -> None:
    """File by file, so that no moment is without a wheel that may be the only one of its bytes."""
    names = {path.name for path in incoming.iterdir()}
    for name in sorted(names):
        if (final / name).is_dir():
            remove(final / name)
        (incoming / name).replace(final / name)
    for path in final.iterdir():
        if path.name not in names:
            remove(path)
    settle(final)
    incoming.rmdir()


def _copy(source: Path, target: Path, sha256: str) -> None:
    if copy(source, target) != sha256:
        raise PublishError(f"{source} was changed while it was published", remedy="publish it again")


@contextmanager
def taking_turn(
    store: Store, *, patience: float = PATIENCE, waiting: Callable[[], None] = nobody_waits
) -> Iterator[Turn]:
    """Inside, nobody else changes the index, and what a killed publisher left in it is gone.

    Raises PublishError when the index cannot be changed, for whatever reason the disk has; it is then as it was.
    """
    root = store.root
    with told(root), my_turn(root / LOCK, patience=patience, waiting=waiting):
        require_directories(root)
        shown, index, fit = store.state()
        tidy(root, shown.name, index)
        try:
            yield Turn(root, shown, index, fit)
        except BaseException:
            with suppress(OSError, PublishError):  # room, when that was what lacked
                tidy(root, store.shown().name, store.read())
            raise


def require_directories(root: Path) -> None:
    """Raises PublishError where one of those that hold everything is none, or a link elsewhere."""
    for name in (FILES, PAGES, GENERATIONS):
        if not os.path.lexists(root / name):
            raise PublishError(f"{root / name} is missing", remedy=mending(root))
        _refuse_link(root / name)


def _refuse_link(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        raise PublishError(
            f"{path} is no directory, so it is not ours to write into",
            remedy="see who changed it; put the directory itself in its place"
            + (f", or remove it: then {mending(path.parent)}" if path.name in (PAGES, GENERATIONS) else ""),
        )


def tidy(root: Path, shown: str, index: Index) -> None:
    """Removes what an unfinished publication left, and what was pruned: pages that no generation to keep shows, and of
    the files those that were noted. ``shown``: the name of the generation that shows ``index``. Raises OSError."""
    for name in (INCOMING, f"{CURRENT}.new"):
        remove(root / name)
    kept = {shown, f"{int(shown) - 1:08d}"}
    for generation in (root / GENERATIONS).iterdir():
        if generation.name not in kept and GENERATION.fullmatch(generation.name):
            remove(generation)
    for path in unused_pages(root, (root / GENERATIONS / name for name in kept)):
        remove(path)
    for place in sorted(noted(root) - {wheel.directory for wheel in index.wheels}):
        if not (root / place).parent.is_symlink():
            remove(root / place)
    forget(root)


def unnamed(root: Path, index: Index) -> list[Path]:
    """Places in ``files/`` that are ours by their names and that ``index`` does not name."""
    named = {wheel.directory for wheel in index.wheels}
    return [place for place in places(root) if os.path.relpath(place, root) not in named]
