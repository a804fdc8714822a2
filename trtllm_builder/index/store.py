"""An index on a disk, such that a web server shows the old one or the new one and nothing between.

    files/PROJECT/SHA256/       a wheel and what belongs to it; placed whole, by one rename, and never changed
    .generations/00000012/      all pages of one state; a project's are a link to its directory in .pages
    .pages/SHA256/              pages of a project, in as many states and variants as they are the same
    .current -> .generations/00000012       one rename of this link is the whole change
    simple, v, locks, index.html -> .current/...

A publisher places files, writes a generation, makes both durable and then turns the link. Killed before that, it leaves
things that no page names; the next one removes them. The generation before stays for whoever is reading it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.errors import PublishError
from trtllm_builder.index.files import copy, point, remove, settle, told, write
from trtllm_builder.index.generation import GENERATIONS, PAGES, read_generation, unused_pages, write_generation
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.turn import my_turn

MARKER, SCHEMA = "trtllm-index.json", 1
LOCK, CURRENT, INCOMING, FILES = ".lock", ".current", ".incoming", "files"
SHOWN = ("simple", "v", "locks", "index.html")
PATIENCE = 600.0  # seconds; a wheel of 2 GB takes a few to copy
_OWN = {MARKER, f"{MARKER}.new", LOCK, CURRENT, f"{CURRENT}.new", GENERATIONS, PAGES, INCOMING, FILES, *SHOWN}
_OWN |= {f"{name}.new" for name in SHOWN}
_GENERATION = re.compile(r"\d{8}")
_PLACE = re.compile(r"[0-9a-f]{16}")


def nobody_waits() -> None:
    """For callers that do not tell that somebody else is publishing."""


@dataclass(frozen=True)
class Store:
    """An index of ours at ``root``; anybody may read it."""

    root: Path

    def read(self) -> Index:
        """What it holds now. Raises PublishError when that cannot be told."""
        return self.state()[1]

    def state(self) -> tuple[Path, Index, bool]:
        """The generation that is shown now, what it holds, and whether its pages have today's form."""
        while True:
            shown = self.shown()
            try:
                return (shown, *read_generation(shown))
            except PublishError:
                if self.shown() == shown:  # else it was replaced, and removed, meanwhile
                    raise

    def shown(self) -> Path:
        try:
            return self.root / (self.root / CURRENT).readlink()
        except OSError as error:
            raise PublishError(
                f"{self.root} shows no pages: {CURRENT} is no link to them",
                remedy=f"make it one to the highest number there is in {self.root / GENERATIONS}",
            ) from error


def open_index(root: Path) -> Store:
    """Raises PublishError unless there is an index of ours."""
    marker = root / MARKER
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        schema = int(found["schema"])
    except FileNotFoundError:
        raise PublishError(
            f"{root} is no index of ours: it has no {MARKER}", remedy="trtllm-build publish WHEEL --index DIR makes one"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PublishError(f"{marker} cannot be read: {error}", remedy="restore it from a backup") from error
    if schema != SCHEMA:
        raise PublishError(f"{root} has the form {schema}, this program knows {SCHEMA}", remedy="update trtllm-builder")
    return Store(root)


def make_index(root: Path, *, waiting: Callable[[], None] = nobody_waits) -> Store:
    """The index at ``root``, made when there is nothing yet. Raises PublishError for a directory of somebody else."""
    if (root / MARKER).is_file():
        return open_index(root)
    with told(root):
        root.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(root)
        with my_turn(root / LOCK, patience=PATIENCE, waiting=waiting):
            _refuse_foreign(root)
            if not (root / MARKER).exists():
                _lay_out(root)
    return open_index(root)


def _refuse_foreign(root: Path) -> None:
    if (root / MARKER).exists():
        return
    held = {entry.name for entry in root.iterdir()} - {"lost+found"}
    # Our own names, with the lock, are what a publisher left that was killed while it made the index.
    if held and not (LOCK in held and held <= _OWN):
        raise PublishError(
            f"{root} is not empty and no index of ours: it holds {', '.join(sorted(held)[:3])}",
            remedy="name a directory that is empty or not there yet",
        )


def _lay_out(root: Path) -> None:
    """Whatever a killed one left is done again; the marker comes last."""
    for name in (FILES, PAGES, GENERATIONS):
        (root / name).mkdir(exist_ok=True)
    remove(root / GENERATIONS / "00000001")
    write_generation(root, root / GENERATIONS / "00000001", Index(), None)
    for name in SHOWN:
        point(root / name, f"{CURRENT}/{name}")
    point(root / CURRENT, f"{GENERATIONS}/00000001")
    fresh = root / f"{MARKER}.new"
    remove(fresh)
    write(fresh, (json.dumps({"schema": SCHEMA, "what": "a package index made by trtllm-builder"}) + "\n").encode())
    fresh.replace(root / MARKER)
    settle(root)


@dataclass(frozen=True)
class Turn:
    """The right to change an index, as ``taking_turn`` gives it, and what it holds."""

    root: Path
    shown: Path
    index: Index
    fit: bool

    def place(self, wheel: Wheel, source: Path, beside: Mapping[str, Path | bytes]) -> None:
        """Copies the wheel and what belongs beside it (by suffix) to where its pages will look for it.

        Raises PublishError when ``source`` is no longer what ``wheel`` says; OSError.
        """
        incoming = self.root / INCOMING
        remove(incoming)
        incoming.mkdir()
        if copy(source, incoming / wheel.filename) != wheel.sha256:
            raise PublishError(f"{source} was changed while it was published", remedy="publish it again")
        for suffix, content in beside.items():
            target = incoming / f"{wheel.filename}{suffix}"
            if isinstance(content, bytes):
                write(target, content)
            else:
                copy(content, target)
        settle(incoming)
        final = self.root / wheel.directory
        final.parent.mkdir(exist_ok=True)
        _refuse_link(final.parent)
        remove(final)
        incoming.rename(final)
        settle(final.parent)
        settle(final.parent.parent)

    def put_beside(self, wheel: Wheel, beside: Mapping[str, Path]) -> None:
        """New files, or newer ones, beside a wheel that is there, each by a rename. Raises OSError."""
        for suffix, source in beside.items():
            target = self.root / f"{wheel.path}{suffix}"
            fresh = target.with_name(f"{target.name}.new")
            remove(fresh)
            copy(source, fresh)
            fresh.replace(target)
        settle(self.root / wheel.directory)

    def show(self, index: Index) -> None:
        """From here on the index holds ``index``, whose files are all placed. Raises OSError."""
        fresh = self.shown.with_name(f"{int(self.shown.name) + 1:08d}")
        write_generation(self.root, fresh, index, (self.shown, self.index) if self.fit else None)
        point(self.root / CURRENT, f"{GENERATIONS}/{fresh.name}")
        _tidy(self.root, fresh.name, index)


@contextmanager
def taking_turn(
    store: Store, *, patience: float = PATIENCE, waiting: Callable[[], None] = nobody_waits
) -> Iterator[Turn]:
    """Inside, nobody else changes the index, and what a killed publisher left in it is gone.

    Raises PublishError when the index cannot be changed, for whatever reason the disk has; it is then as it was.
    """
    root = store.root
    with told(root), my_turn(root / LOCK, patience=patience, waiting=waiting):
        for name in (FILES, PAGES, GENERATIONS):
            _refuse_link(root / name)
        shown, index, fit = store.state()
        if shown.parent.name != GENERATIONS or not _GENERATION.fullmatch(shown.name):
            raise PublishError(f"{root / CURRENT} leads to {shown}, which we did not make", remedy="see who changed it")
        _tidy(root, shown.name, index)
        try:
            yield Turn(root, shown, index, fit)
        except BaseException:
            with suppress(OSError):  # room, when that was what lacked
                _tidy(root, store.shown().name, store.read())
            raise


def _refuse_link(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        raise PublishError(f"{path} is no directory, so it is not ours to write into", remedy="see who changed it")


def _tidy(root: Path, shown: str, index: Index) -> None:
    """Removes what no page names: half a publication, or what was pruned."""
    for name in (INCOMING, f"{CURRENT}.new"):
        remove(root / name)
    kept = {shown, f"{int(shown) - 1:08d}"}
    for generation in (root / GENERATIONS).iterdir():
        if generation.name not in kept and _GENERATION.fullmatch(generation.name):
            remove(generation)
    for path in unused_pages(root, (root / GENERATIONS / name for name in kept)):
        remove(path)
    for path in orphans(root, index):
        remove(path)


def orphans(root: Path, index: Index) -> list[Path]:
    """Places in ``files/`` that are ours by their names and that ``index`` does not name."""
    named = {wheel.directory for wheel in index.wheels}
    found = []
    for project in (root / FILES).iterdir():
        if project.is_dir() and not project.is_symlink():
            places = [place for place in project.iterdir() if _PLACE.fullmatch(place.name)]
            found += [place for place in places if f"{FILES}/{project.name}/{place.name}" not in named]
    return found
