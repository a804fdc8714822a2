"""Every page of an index, each with what it is made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from trtllm_builder.index.landing import landing_page
from trtllm_builder.index.model import Index, Wheel
from trtllm_builder.index.simple import list_html, list_json, project_html, project_json


@dataclass(frozen=True)
class Page:
    """One file. ``path`` is relative to the index. ``wheels``: what it shows, when that alone decides its text: of
    equal ones the old page can stay."""

    path: str
    text: Callable[[], str]
    wheels: tuple[Wheel, ...] | None = None


@dataclass(frozen=True)
class ProjectPages:
    """A project's directory in a tree: file name to text. ``wheels`` alone decide them."""

    path: str
    texts: Callable[[], dict[str, str]]
    wheels: tuple[Wheel, ...]


def all_pages(index: Index) -> Iterator[Page | ProjectPages]:
    """The tree of all wheels, one for each variant, what was built from which lock, and the page for people."""
    yield from _tree(index, "simple/", "../../")
    for variant in index.variants:
        yield from _tree(index.of_variant(variant), f"v/{variant}/simple/", "../../../../")
    for digest, wheel in built_from(index).items():
        yield Page(f"locks/{digest}.json", partial(lock_json, wheel), (wheel,))
    yield Page("index.html", partial(landing_page, index))


def _tree(index: Index, path: str, root: str) -> Iterator[Page | ProjectPages]:
    projects = index.projects
    yield Page(f"{path}index.html", partial(list_html, projects))
    yield Page(f"{path}index.json", partial(list_json, projects))
    for name, wheels in projects.items():
        yield ProjectPages(f"{path}{name}", partial(_texts, name, wheels, root), wheels)


def _texts(name: str, wheels: tuple[Wheel, ...], root: str) -> dict[str, str]:
    return {"index.html": project_html(name, wheels, root), "index.json": project_json(name, wheels, root)}


def built_from(index: Index) -> dict[str, Wheel]:
    """Lock digest to the wheel that was built from it and published last; a yanked one is to be built again."""
    found = [wheel for wheel in index.wheels if wheel.lock and wheel.yanked is None]
    return {wheel.lock.digest: wheel for wheel in sorted(found, key=lambda wheel: wheel.uploaded) if wheel.lock}


def lock_json(wheel: Wheel) -> str:
    """``schemas/index-lock.json``."""
    document = {"schema": 1, "wheel": wheel.filename, "sha256": wheel.sha256, "size": wheel.size, "path": wheel.path}
    return json.dumps(document, indent=2) + "\n"
