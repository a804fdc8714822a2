"""An index on a disk: found, and made."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.index.files import make_directory, point, remove, settle, told, write
from trtllm_builder.index.generation import GENERATIONS, PAGES, mending, read_generation, write_generation
from trtllm_builder.index.journal import JOURNAL
from trtllm_builder.index.model import Index
from trtllm_builder.index.turn import my_turn

MARKER, SCHEMA = "trtllm-index.json", 2
LOCK, CURRENT, INCOMING, FILES = ".lock", ".current", ".incoming", "files"
SHOWN = ("simple", "v", "locks", "index.html")
PATIENCE = 600.0  # seconds; a wheel of 2 GB takes a few to copy
GENERATION = re.compile(r"\d{8}")
_OWN = {MARKER, f"{MARKER}.new", LOCK, JOURNAL, CURRENT, f"{CURRENT}.new", GENERATIONS, PAGES, INCOMING, FILES, *SHOWN}
_OWN |= {f"{name}.new" for name in SHOWN}
_FIRST = "00000001"


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
        """The generation that ``.current`` leads to. Raises PublishError when that is none of ours."""
        try:
            target = (self.root / CURRENT).readlink()
        except OSError as error:
            raise PublishError(
                f"{self.root} shows no pages: {CURRENT} is no link to them", remedy=mending(self.root)
            ) from error
        if target.parent != Path(GENERATIONS) or not GENERATION.fullmatch(target.name):
            raise PublishError(
                f"{self.root} shows no pages of ours: {CURRENT} leads to {target}", remedy=mending(self.root)
            )
        return self.root / target


def open_index(root: Path) -> Store:
    """Raises UsageError for what is no index of ours, PublishError for one that is damaged or of another form."""
    if not has_form(root):
        if not os.path.lexists(root / MARKER):
            raise _without_marker(root)
        raise PublishError(f"{root / MARKER} cannot be read, or is damaged", remedy=mending(root))
    return Store(root)


def has_form(root: Path) -> bool:
    """Whether the marker of an index of ours is there and whole.

    Raises UsageError for what is no index of ours, PublishError for one of another form.
    """
    try:
        schema = int(json.loads((root / MARKER).read_text(encoding="utf-8"))["schema"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        if not os.path.lexists(root / MARKER):
            _require_used(root)
        return False
    if schema != SCHEMA:
        raise PublishError(
            f"{root} has the form {schema}, this program knows {SCHEMA}",
            remedy="use the trtllm-builder that made it, or publish into a new directory",
        )
    return True


def generations(root: Path) -> list[Path]:
    """Those that lie in an index, or in what may be one that is damaged, the newest first."""
    place = root / GENERATIONS
    if place.is_symlink() or not place.is_dir():
        return []
    return sorted((path for path in place.iterdir() if GENERATION.fullmatch(path.name)), reverse=True)


def _require_used(root: Path) -> None:
    """Raises UsageError where there is nothing of an index of ours, with or without its marker."""
    if not generations(root) and not _held(root):
        raise UsageError(
            f"{root} is no index of ours: it has no {MARKER}", remedy="trtllm-build publish WHEEL --index DIR makes one"
        )


def _held(root: Path) -> bool:
    """Whether there are wheels or pages of them, by their names."""
    trees = ((FILES, f"*/{'[0-9a-f]' * 16}/*.whl"), (PAGES, "[0-9a-f]" * 32))
    return any(True for name, pattern in trees if (root / name).is_dir() for _ in (root / name).glob(pattern))


def _without_marker(root: Path) -> PublishError:
    return PublishError(f"{root} has wheels of ours, or had, and its {MARKER} is gone", remedy=mending(root))


def make_index(root: Path, *, waiting: Callable[[], None] = nobody_waits) -> Store:
    """The index at ``root``, made when there is nothing yet. Raises PublishError for a directory of somebody else."""
    if (root / MARKER).is_file():
        return open_index(root)
    with told(root):
        for place in reversed([path for path in (root, *root.parents) if not path.exists()]):
            make_directory(place)
        _refuse_foreign(root)
        with my_turn(root / LOCK, patience=PATIENCE, waiting=waiting):
            _refuse_foreign(root)
            if not (root / MARKER).exists():
                # A publisher that was killed while it made the index left one empty generation at most.
                if any(path.name != _FIRST for path in generations(root)):
                    raise _without_marker(root)
                _lay_out(root)
    return open_index(root)


def _refuse_foreign(root: Path) -> None:
    if (root / MARKER).exists():
        return
    if _held(root):
        raise _without_marker(root)
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
        make_directory(root / name)
    remove(root / GENERATIONS / _FIRST)
    write_generation(root, root / GENERATIONS / _FIRST, Index(), None)
    for name in SHOWN:
        point(root / name, f"{CURRENT}/{name}")
    point(root / CURRENT, f"{GENERATIONS}/{_FIRST}")
    write_marker(root)


def write_marker(root: Path) -> None:
    fresh = root / f"{MARKER}.new"
    remove(fresh)
    write(fresh, (json.dumps({"schema": SCHEMA, "what": "a package index made by trtllm-builder"}) + "\n").encode())
    fresh.replace(root / MARKER)
    settle(root)
