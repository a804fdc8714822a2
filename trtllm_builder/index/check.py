"""Whether an index is as it says: every file, every hash, every page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.errors import PublishError
from trtllm_builder.index.files import sha256_of
from trtllm_builder.index.generation import GENERATIONS, PAGES, holds, unused_pages
from trtllm_builder.index.journal import noted
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.opening import CURRENT, FILES, INCOMING, LOCK, PATIENCE, SHOWN, Store, nobody_waits
from trtllm_builder.index.pages import ProjectPages, all_pages
from trtllm_builder.index.store import unnamed
from trtllm_builder.index.turn import my_turn


@dataclass(frozen=True)
class Problem:
    """``path`` is relative to the index. ``repairable``: from what the index itself still has."""

    path: str
    what: str
    repairable: bool


Inspect = Callable[[Path, Wheel], Iterator[Problem]]
"""What more there is to say of a wheel of the index at a path, whose files all have their hashes."""


def check(
    store: Store, inspect: Inspect, *, waiting: Callable[[], None] = nobody_waits
) -> tuple[Index, tuple[Problem, ...]]:
    """Reads every byte of the index. What looks wrong is looked at again while nobody publishes, where this user may
    keep others from it. Raises PublishError when not even what it should hold can be told.
    """
    good: dict[str, Wheel] = {}
    index, problems = _look(store, inspect, good)
    with ExitStack() as stack:
        try:
            if problems:
                stack.enter_context(my_turn(store.root / LOCK, patience=PATIENCE, waiting=waiting))
        except (OSError, PublishError):
            return index, problems
        return _look(store, inspect, good) if problems else (index, problems)


def _look(store: Store, inspect: Inspect, good: dict[str, Wheel]) -> tuple[Index, tuple[Problem, ...]]:
    """``good``: wheels, by path, that need no second look; more are added."""
    shown, index, _ = store.state()
    problems = [*wrong_links(store.root), *wrong_pages(shown, index)]
    for wheel in index.wheels:
        if good.get(wheel.path) != wheel:
            found = list(_wheel(store.root, wheel)) or list(inspect(store.root / wheel.path, wheel))
            problems += found
            if not found:
                good[wheel.path] = wheel
    return index, (*problems, *_left(store.root, index))


def wrong_links(root: Path) -> Iterator[Problem]:
    for name in SHOWN:
        path, target = root / name, f"{CURRENT}/{name}"
        try:
            if os.fspath(path.readlink()) != target:
                yield Problem(name, f"leads to {path.readlink()}, not to {target}", True)
        except FileNotFoundError:
            yield Problem(name, "is missing", True)
        except OSError:
            yield Problem(name, f"is no link to {target}: a web server shows something else there", True)


def wrong_pages(shown: Path, index: Index) -> Iterator[Problem]:
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
    damaged = list(_file(root, wheel.path, wheel.sha256, wheel.size))
    yield from damaged
    for problem in _file(root, f"{wheel.path}.metadata", wheel.metadata, None):
        yield replace(problem, repairable=not damaged)
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
    unfinished = noted(root)
    for path in unnamed(root, index):
        place = f"{FILES}/{path.parent.name}/{path.name}"
        if place in unfinished:
            yield Problem(place, "was left by a publisher that did not end: --repair or the next one removes it", True)
        elif any(True for _ in path.glob("*.whl")):
            yield Problem(place, "is in no page: --repair shows the wheel again, or says why it cannot", True)
        else:
            yield Problem(place, "is in no page: it holds no wheel, and --repair removes it", True)
    for name in (FILES, PAGES, GENERATIONS):
        if (root / name).is_symlink() or not (root / name).is_dir():
            yield Problem(name, "is missing" if not os.path.lexists(root / name) else "is no directory", True)
            return
    for path in unused_pages(root, (root / GENERATIONS).iterdir()):
        yield Problem(f"{PAGES}/{path.name}", "is shown nowhere", True)
