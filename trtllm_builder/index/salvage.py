"""What is left of an index that lost pages: the wheels that any of its pages still names, and those on the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trtllm_builder.index.generation import GENERATIONS, PAGES
from trtllm_builder.index.model import Wheel
from trtllm_builder.index.opening import CURRENT, FILES
from trtllm_builder.index.simple import read_project

_PLACE = re.compile(r"[0-9a-f]{16}")
_TREES = ("simple", "v/*/simple")
# Copied with `rsync -aL` or `cp -L`, what were links are pages themselves.
_WHERE = (PAGES, *(f"{top}{tree}" for top in (f"{GENERATIONS}/*/", f"{CURRENT}/", "") for tree in _TREES))


def places(root: Path) -> list[Path]:
    """Directories in ``files/`` that are ours by their names, in order."""
    found: list[Path] = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for project in sorted((root / FILES).iterdir()):
            if project.is_dir() and not project.is_symlink():
                found += sorted(place for place in project.iterdir() if _PLACE.fullmatch(place.name))
    return found


def wheels_on_disk(root: Path) -> list[str]:
    """Of all wheels in ``places``, relative to the index."""
    return [str(path.relative_to(root)) for place in places(root) for path in sorted(place.glob("*.whl"))]


def wheels_shown(generation: Path) -> list[Wheel]:
    """Of those pages of a generation that can be read."""
    return [wheel for page in sorted(generation.glob("simple/*/index.json")) for wheel in _read(page)]


def wheels_remembered(root: Path) -> dict[str, Wheel]:
    """By path, as the newest page says that names it; what the files are like was not looked at."""
    pages = {page.resolve() for pattern in _WHERE for page in root.glob(f"{pattern}/*/index.json")}
    found: dict[str, Wheel] = {}
    for page in sorted(pages, key=lambda page: (-page.parent.stat().st_mtime_ns, page)):
        for wheel in _read(page):
            found.setdefault(wheel.path, wheel)
    return found


def _read(page: Path) -> Iterator[Wheel]:
    with suppress(OSError, ValueError):
        yield from read_project(page.read_text(encoding="utf-8"))
