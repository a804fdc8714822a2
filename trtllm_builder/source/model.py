"""What is wanted of a source, and what was obtained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Log = Callable[[str], None]
Existing = Literal["keep", "reset"]

ORIGINAL = "original"
"""What ``served_by`` says when no mirror was used; ``cache`` when no network was needed."""


def quiet(line: str) -> None:
    """A log that nobody reads."""


@dataclass(frozen=True)
class Mirror:
    """One alternative server. All ``rewrites`` (prefix, replacement) hold at once, the longest prefix wins, as in git.

    A mirror whose rewrites do not touch a URL is passed over for it; one without rewrites stands for the original and
    says when it is tried (else it comes last). ``lfs`` is the LFS server's URL when it is not ``<git url>/info/lfs``;
    ``{path}`` in it is the repository's path, such as ``NVIDIA/TensorRT-LLM``.
    """

    name: str
    rewrites: tuple[tuple[str, str], ...] = ()
    lfs: str | None = None


def in_order(name: str, rules: Iterable[tuple[str, str]], lfs: str | None) -> tuple[Mirror, ...]:
    """The mirrors of one set: where several rules have the same prefix, each next one is a mirror of its own."""
    layers: list[dict[str, str]] = []
    for prefix, replacement in rules:
        free = next((layer for layer in layers if prefix not in layer), None)
        if free is None:
            free = {}
            layers.append(free)
        free[prefix] = replacement
    if len(layers) < 2:
        return (Mirror(name, tuple(layers[0].items()) if layers else (), lfs),)
    return tuple(Mirror(f"{name}-{at}", tuple(layer.items()), lfs) for at, layer in enumerate(layers, 1))


@dataclass(frozen=True)
class SourceWant:
    """A repository at a ref or, better, at a commit (40 hex digits); with a commit the ref is only a label."""

    url: str
    ref: str
    commit: str | None = None
    mirrors: tuple[Mirror, ...] = ()
    lfs: bool = True
    submodules: bool = True


@dataclass(frozen=True)
class Checkout:
    """A source as it lies in the workspace. Nothing in here holds credentials."""

    path: Path
    commit: str
    """HEAD, or empty for a directory that is no git work tree."""
    ref: str
    url: str
    served_by: str
    pinned: bool
    """Whether the wanted commit was given; a directory is never pinned."""
    submodules: tuple[tuple[str, str], ...] = ()
    """(path, commit), nested ones included."""
    lfs_objects: tuple[tuple[str, str], ...] = ()
    """(path, sha256) of each file whose content came from LFS."""
    dirty: bool = False
    modified: tuple[str, ...] = ()
    """Source files that differ from what was obtained: by our patches or by hand."""
    digest: str = ""
    """``sha256:...`` of the source as obtained, whatever was changed since."""
    served: tuple[tuple[str, str], ...] = ()
    """(url, server's name) for the repository and each submodule."""
    notes: tuple[str, ...] = ()
