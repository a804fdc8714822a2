"""Whether an index is as it says: every file, every hash, every page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.index.files import point, sha256_of
from trtllm_builder.index.generation import GENERATIONS, PAGES, holds, unused_pages
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.opening import CURRENT, FILES, INCOMING, SHOWN, Store, nobody_waits, restore
from trtllm_builder.index.pages import ProjectPages, all_pages
from trtllm_builder.index.store import orphans, taking_turn


@dataclass(frozen=True)
class Problem:
    """``path`` is relative to the index. ``repairable``: from what the index itself still has."""

    path: str
    what: str
    repairable: bool


def check(store: Store) -> tuple[Index, tuple[Problem, ...]]:
    """Reads every byte of the index; a publication that goes on meanwhile may be told as something left over.

    Raises PublishError when not even what it should hold can be told.
    """
    shown, index, _ = store.state()
    problems = [
        *_links(store.root),
        *_pages(shown, index),
        *(problem for wheel in index.wheels for problem in _wheel(store.root, wheel)),
        *_left(store.root, index),
    ]
    return index, tuple(problems)


def repair(root: Path, *, waiting: Callable[[], None] = nobody_waits) -> tuple[Index, tuple[Problem, ...]]:
    """Makes marker, pages and links anew, removes what is left over, and checks again: what is told then is there to
    stay. Raises PublishError, UsageError for what is no index."""
    store = restore(root, waiting=waiting)
    with taking_turn(store, waiting=waiting) as turn:
        for name in SHOWN:
            if (store.root / name).is_symlink() or not (store.root / name).exists():
                point(store.root / name, f"{CURRENT}/{name}")
        if list(_pages(turn.shown, turn.index)):
            replace(turn, fit=False).show(turn.index)
    return check(store)


def _links(root: Path) -> Iterator[Problem]:
    for name in SHOWN:
        path, target = root / name, f"{CURRENT}/{name}"
        try:
            if os.fspath(path.readlink()) != target:
                yield Problem(name, f"leads to {path.readlink()}, not to {target}", True)
        except FileNotFoundError:
            yield Problem(name, "is missing", True)
        except OSError:
            yield Problem(name, f"is no link to {target}: a web server shows something else there", False)


def _pages(shown: Path, index: Index) -> Iterator[Problem]:
    place = f"{GENERATIONS}/{shown.name}"
    wanted = {page.path: page for page in all_pages(index)}
    for path, page in wanted.items():
        if isinstance(page, ProjectPages):
            texts = {name: text.encode() for name, text in page.texts().items()}
            good = (shown / path).is_symlink() and holds(shown / path, texts)
        else:
            good = _reads(shown / path, page.text().encode())
        if not good:
            yield Problem(f"{place}/{path}", "does not show what it should", True)
    for directory, below, names in os.walk(shown):
        for name in (*names, *(name for name in below if Path(directory, name).is_symlink())):
            path = os.path.relpath(os.path.join(directory, name), shown)  # noqa: PTH118
            if path not in wanted:
                yield Problem(f"{place}/{path}", "is no page of this index", True)


def _reads(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text
    except OSError:
        return False


def _wheel(root: Path, wheel: Wheel) -> Iterator[Problem]:
    yield from _file(root, wheel.path, wheel.sha256, wheel.size)
    yield from _file(root, f"{wheel.path}.metadata", wheel.metadata, None)
    for suffix, sha256 in wheel.beside.items():
        yield from _file(root, f"{wheel.path}{suffix}", sha256, None)


def _file(root: Path, path: str, sha256: str, size: int | None) -> Iterator[Problem]:
    place = root / path
    try:
        if place.is_symlink() or not place.is_file():
            yield Problem(path, "is missing" if not os.path.lexists(place) else "is no file", False)
        elif size is not None and place.stat().st_size != size:
            yield Problem(path, f"has {place.stat().st_size} bytes, not {size}", False)
        elif (found := sha256_of(place)) != sha256:
            yield Problem(path, f"has the sha256 {found}, not {sha256}", False)
    except OSError as error:
        yield Problem(path, f"cannot be read: {(error.strerror or str(error)).lower()}", False)


def _left(root: Path, index: Index) -> Iterator[Problem]:
    if (root / INCOMING).exists():
        yield Problem(INCOMING, "was left by a publisher that was killed, or is being written", True)
    for path in orphans(root, index):
        yield Problem(f"{FILES}/{path.parent.name}/{path.name}", "is in no page", True)
    for path in unused_pages(root, (root / GENERATIONS).iterdir()):
        yield Problem(f"{PAGES}/{path.name}", "is shown nowhere", True)
