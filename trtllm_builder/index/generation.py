"""All pages of one state of an index: written so that nothing of it is seen before, and read back.

A project's pages are a directory of ``.pages``, named by what it holds, that every generation links to: one publication
writes, and waits for the disk, only where something changed.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from trtllm_builder.errors import PublishError
from trtllm_builder.index.files import link, make_directory, remove, settle, write
from trtllm_builder.index.model import Index, Wheel, is_safe_name
from trtllm_builder.index.pages import ProjectPages, all_pages
from trtllm_builder.index.simple import FORM, read_list, read_project

GENERATIONS, PAGES = ".generations", ".pages"
_PAGES = re.compile(r"[0-9a-f]{32}(\.new)?")


def mending(root: Path) -> str:
    """What to do about an index that lost something of what is made from its files."""
    return f"trtllm-build index check {shlex.quote(str(root))} --repair makes it anew from what is there"


def write_generation(root: Path, fresh: Path, index: Index, before: tuple[Path, Index] | None) -> None:
    """Makes ``fresh``, durable. A page of ``before``, a generation and what it shows, that shows the same wheels is
    linked. Raises OSError."""
    shown, old = (before[0], {page.path: page.wheels for page in all_pages(before[1])}) if before else (fresh, {})
    make_directory(fresh)
    made = {fresh}
    for name in ("simple", "v", "locks"):
        _directory(fresh / name, made)
    for page in all_pages(index):
        target = fresh / page.path
        _directory(target.parent, made)
        same = page.wheels is not None and old.get(page.path) == page.wheels
        if isinstance(page, ProjectPages):
            place = (shown / page.path).readlink().name if same else _place_pages(root, page.texts())
            target.symlink_to(f"{'../' * (page.path.count('/') + 2)}{PAGES}/{place}")
        elif same:
            link(shown / page.path, target)
        else:
            write(target, page.text().encode())
    for directory in sorted(made, key=lambda path: -len(path.parts)):
        settle(directory)
    settle(root / PAGES)
    settle(root / GENERATIONS)


def _place_pages(root: Path, texts: Mapping[str, str]) -> str:
    """The name of the directory in ``.pages`` that holds just these, durable but for that name."""
    pages = {name: text.encode() for name, text in texts.items()}
    digest = sha256(b"".join(sha256(name.encode() + b"\0" + page).digest() for name, page in pages.items()))
    place = root / PAGES / digest.hexdigest()[:32]
    if not holds(place, pages):
        fresh = place.with_name(f"{place.name}.new")
        remove(fresh)
        make_directory(fresh)
        for name, page in pages.items():
            write(fresh / name, page)
        settle(fresh)
        remove(place)  # one that was damaged
        fresh.rename(place)
    os.utime(place)  # pages that come back are the newest again: see salvage
    return place.name


def _directory(path: Path, made: set[Path]) -> None:
    if path not in made:
        _directory(path.parent, made)
        make_directory(path)
        made.add(path)


def holds(directory: Path, pages: Mapping[str, bytes]) -> bool:
    """Whether these are all files there, byte for byte."""
    try:
        names = {entry.name for entry in directory.iterdir()}
        return names == set(pages) and all((directory / name).read_bytes() == page for name, page in pages.items())
    except OSError:
        return False


def unused_pages(root: Path, generations: Iterable[Path]) -> list[Path]:
    """Directories of pages that none of ``generations`` links, some of which may not be there."""
    used = set()
    for generation in generations:
        for tree in (generation / "simple", *(generation / "v").glob("*/simple")):
            links = tree.iterdir() if tree.is_dir() else ()
            used |= {link.readlink().name for link in links if link.is_symlink()}
    return [path for path in (root / PAGES).iterdir() if _PAGES.fullmatch(path.name) and path.name not in used]


def read_generation(shown: Path) -> tuple[Index, bool]:
    """What it shows, and whether its pages have today's form. Raises PublishError for one that is damaged."""
    at = shown / "simple" / "index.json"
    wheels: list[Wheel] = []
    try:
        projects, form = read_list(at.read_text(encoding="utf-8"))
        for project in projects:
            if not is_safe_name(f"{project}.whl"):
                raise ValueError("it names a project that cannot be")
            at = shown / "simple" / project / "index.json"
            wheels += read_project(at.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PublishError(
            f"{at} cannot be read: {_said(error)}",
            remedy=mending(shown.parent.parent),
        ) from error
    return Index(tuple(wheels)), form == FORM


def _said(error: OSError | ValueError) -> str:
    return ((isinstance(error, OSError) and error.strerror) or str(error)).lower()
