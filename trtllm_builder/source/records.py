"""The note beside a workspace's source that says what it is: only what bears a complete one is trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_SCHEMA = 1


@dataclass(frozen=True)
class Placed:
    """A file whose content came from LFS; its size and mtime (ns) show later that nobody touched it."""

    path: str
    oid: str
    size: int
    mtime: int


@dataclass(frozen=True)
class GitTree:
    """A checkout made by ``obtain``; paths are relative to its root."""

    url: str
    commit: str
    lfs: bool
    with_submodules: bool
    served: tuple[tuple[str, str], ...]
    submodules: tuple[tuple[str, str], ...]
    objects: tuple[Placed, ...]
    notes: tuple[str, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GitTree | None:
        """None when it is not such a record."""
        try:
            return cls(
                url=str(data["url"]),
                commit=str(data["commit"]),
                lfs=bool(data["lfs"]),
                with_submodules=bool(data["with_submodules"]),
                served=tuple((str(url), str(name)) for url, name in data["served"]),
                submodules=tuple((str(path), str(commit)) for path, commit in data["submodules"]),
                objects=tuple(Placed(**placed) for placed in data["objects"]),
                notes=tuple(str(note) for note in data["notes"]),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def record_path(destination: Path) -> Path:
    """Beside the tree, so that it is no part of it."""
    return destination.with_name(f".{destination.name}.source.json")


def partial_path(destination: Path) -> Path:
    """Where a tree is made before it takes its name."""
    return destination.with_name(f".{destination.name}.partial")


def read_record(destination: Path) -> dict[str, Any] | None:
    """The record, ``complete`` or not; None when there is none that we could have written."""
    try:
        loaded = json.loads(record_path(destination).read_text())
    except (OSError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) and loaded.get("schema") == _SCHEMA else None


def write_record(destination: Path, record: Mapping[str, Any], *, complete: bool) -> None:
    """Replaces the record in one step. Raises OSError."""
    path = record_path(destination)
    fresh = path.with_suffix(".new")
    with fresh.open("w") as stream:
        json.dump({**record, "schema": _SCHEMA, "complete": complete}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
