"""An index made whole again from what is left of it: its files, and whatever pages still tell of them.

Pages, links and the marker are made from the files and from what only pages know: when a wheel was published, whether
it was yanked, or is kept. No wheel is removed, and what could not be known is said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.errors import BuilderError, PublishError
from trtllm_builder.index.check import Problem, check, wrong_links, wrong_pages
from trtllm_builder.index.files import has, make_directory, point, remove, told
from trtllm_builder.index.generation import GENERATIONS, PAGES, mending, write_generation
from trtllm_builder.index.journal import forget
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.opening import (
    CURRENT,
    FILES,
    GENERATION,
    INCOMING,
    LOCK,
    MARKER,
    PATIENCE,
    Store,
    generations,
    has_form,
    nobody_waits,
    open_index,
    write_marker,
)
from trtllm_builder.index.salvage import wheels_shown
from trtllm_builder.index.store import require_directories, tidy, unnamed
from trtllm_builder.index.turn import my_turn
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.readopt import ANYTHING, put_metadata, readopt
from trtllm_builder.publish.rules import judge

_PAGE = re.compile(r"index\.html|index\.json|[0-9a-f]{64}\.json")


@dataclass(frozen=True)
class Mended:
    """``what``: what was done, and what could not be known. ``path`` is relative to the index."""

    path: str
    what: str


@dataclass(frozen=True)
class Repaired:
    """``problems``: those that stay."""

    index: Index
    mended: tuple[Mended, ...]
    problems: tuple[Problem, ...]


def repair(root: Path, *, waiting: Callable[[], None] = nobody_waits) -> Repaired:
    """Makes everything anew that can be made from what is there, shows wheels again that no page names, removes what
    an unfinished publication left, and checks again. Killed at any moment it can be begun again.

    Raises UsageError for what is no index; PublishError for one of another form, or where something of somebody else
    is in the way.
    """
    has_form(root)
    with told(root), my_turn(root / LOCK, patience=PATIENCE, waiting=waiting):
        for name in (FILES, PAGES, GENERATIONS):
            if name != FILES and (root / name).is_file() and not (root / name).is_symlink():
                remove(root / name)
            if not os.path.lexists(root / name):
                make_directory(root / name)
        require_directories(root)
        mended, refused = _mend(root)
    index, problems = check(open_index(root), inspect, waiting=waiting)
    stay = [replace(one, what=refused.get(one.path, one.what), repairable=False) for one in problems]
    return Repaired(index, tuple(mended), tuple(stay))


def _mend(root: Path) -> tuple[list[Mended], Mapping[str, str]]:
    """What was done, and why some places in ``files/`` are in no page."""
    mended: list[Mended] = []
    whole = True
    try:
        shown, before, _ = Store(root).state()
        tidy(root, shown.name, before)
        found = {wheel.path: wheel for wheel in before.wheels}
        good = not list(wrong_pages(shown, before))
        mended += [] if good else [Mended(str(shown.relative_to(root)), "all pages made anew")]
    except PublishError as error:
        # What is noted was not finished, or was: the pages that said which are gone. So it is all shown.
        remove(root / INCOMING)
        forget(root)
        mended.append(Mended(CURRENT, f"all pages made anew, since {error.what}"))
        found = {wheel.path: wheel for wheel in _still_shown(root)}
        whole = good = False
    again = readopt(root, found)
    mended += [Mended(path, what) for path, what in again.shown.items()]
    if not whole:
        mended += [Mended(path, what) for path, what in again.gone.items()]
    index = Index((*found.values(), *again.wheels))
    mended += [Mended(f"{wheel.path}.metadata", "made anew from the wheel") for wheel in _metadata(root, index)]
    if not good or again.wheels:
        _show(root, index)
    for problem in wrong_links(root):
        _link(root, problem.path, f"{CURRENT}/{problem.path}")
        mended.append(Mended(problem.path, "a link to the pages again"))
    if not has_form(root):
        write_marker(root)
        mended.append(Mended(MARKER, "written anew"))
    tidy(root, Store(root).shown().name, index)
    for place in unnamed(root, index):
        if not list(place.glob("*.whl")):
            remove(place)
            mended.append(Mended(str(place.relative_to(root)), "removed: it held no wheel"))
    return mended, again.refused


def _still_shown(root: Path) -> list[Wheel]:
    """What those pages say that can be read of the generation that is shown, or should be."""
    try:
        return wheels_shown(Store(root).shown())
    except PublishError:
        return []


def _metadata(root: Path, index: Index) -> Iterator[Wheel]:
    """Those whose METADATA beside them was lost or damaged, and is there again (PEP 658)."""
    for wheel in index.wheels:
        if not has(root / f"{wheel.path}.metadata", wheel.metadata) and has(root / wheel.path, wheel.sha256):
            with suppress(BuilderError):
                put_metadata(root / wheel.path, judge(root / wheel.path, ANYTHING).metadata)
                yield wheel


def _show(root: Path, index: Index) -> None:
    """A generation later than any that was."""
    shown = (root / CURRENT).readlink().name if (root / CURRENT).is_symlink() else ""
    names = [path.name for path in generations(root)] + [shown if GENERATION.fullmatch(shown) else "0"]
    fresh = root / GENERATIONS / f"{max(map(int, names)) + 1:08d}"
    write_generation(root, fresh, index, None)
    _link(root, CURRENT, f"{GENERATIONS}/{fresh.name}")


def _link(root: Path, name: str, target: str) -> None:
    """Pages that stand where the link belongs, as copies that follow links leave them, give way to it."""
    path = root / name
    if path.is_dir() and not path.is_symlink():
        strange = [one for one in path.rglob("*") if not one.is_dir() and not _PAGE.fullmatch(one.name)]
        if strange:
            raise PublishError(
                f"{path} is a directory with {strange[0].relative_to(path)}, which is no page of ours",
                remedy=f"move {path} away: then {mending(root)}",
            )
        path.rename(root / INCOMING)
    point(path, target)
    remove(root / INCOMING)
