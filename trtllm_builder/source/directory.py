"""A directory of the user's into a workspace: as it stands, uncommitted changes and all, and never written to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trtllm_builder.errors import SourceError
from trtllm_builder.source.failures import os_errors
from trtllm_builder.source.git import Git, find_git
from trtllm_builder.source.heads import Head, give_repositories, mismatch, read_heads
from trtllm_builder.source.lfs import find_pointers
from trtllm_builder.source.model import Checkout, Existing, Log, quiet
from trtllm_builder.source.records import partial_path, read_record, write_record
from trtllm_builder.source.sync import Item, Survey, changed_items, shown, survey, sync

_NOTHING: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class _Copied:
    """The record of a copy. Of one that was not finished only the names count."""

    items: dict[str, Item]
    heads: dict[str, Head]
    notes: tuple[str, ...]

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> _Copied | None:
        try:
            items = {str(path): Item.from_json(row) for path, row in record["items"].items()}
            heads = {str(path): Head(**row) for path, row in record["heads"].items()}
            return cls(items, heads, tuple(str(note) for note in record["notes"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def to_json(self) -> dict[str, Any]:
        return {
            "items": {path: item.to_json() for path, item in self.items.items()},
            "heads": {path: asdict(head) for path, head in self.heads.items()},
            "notes": self.notes,
        }


def obtain_directory(
    source: Path,
    destination: Path,
    *,
    environ: Mapping[str, str],
    ref: str | None = None,
    commit: str | None = None,
    exclude: Sequence[str] = (),
    log: Log = quiet,
    existing: Existing = "keep",
) -> Checkout:
    """A copy of ``source`` at ``destination``, by reflink where the file system has it.

    Everything is copied but sockets, pipes and devices, the relative paths in ``exclude``, and git's own directories:
    in the place of each stands a small repository of ours with the same HEAD that borrows the source's objects, so
    that no hook or setting of the source's comes along. A second call copies only what changed; files that are equal
    keep their time. While the source is unchanged, files changed in the copy stay (``existing="keep"``, reported as
    ``dirty``) or are put back (``"reset"``); once it changed, all that stems from it is put back, and what a build
    added stays. A ``ref`` or ``commit`` that the source is not at is a note. Raises SourceError, or HostError when git
    is missing.
    """
    git = find_git(environ)
    with os_errors(f"copying {source}"):
        source, destination = _places(source, destination)
        record = read_record(destination)
        if record is None and destination.exists() and any(destination.iterdir()):
            what = f"{destination} exists and was not made by this tool"
            raise SourceError(what, remedy="remove it, or choose another --workspace")
        old = _Copied.from_json(record) if record else None
        trusted = old.items if old and record and record["complete"] else {}
        log(f"looking at {source}")
        seen = survey(source, trusted, exclude=frozenset(os.fsencode(path.strip("/")) for path in exclude))
        directories = ["", *(path for path, item in seen.items.items() if item.kind == "directory")]
        heads = read_heads(source, directories, git)
        modified: tuple[str, ...] = ()
        if old and trusted and existing == "keep" and heads == old.heads and _same(old.items, seen.items):
            modified = changed_items(destination, old.items)
            made = old
        else:
            log(f"copying {source} to {destination}")
            made = _copy(source, destination, seen, heads, old, bool(trusted), git)
        pointers = find_pointers(destination)
    notes = [*mismatch(source, heads.get(""), ref, commit, git), *_remarks(seen), *made.notes]
    if pointers:
        names = shown(pointer.path for pointer in pointers)
        notes.append(f"{len(pointers)} files are LFS pointers ({names}); git lfs pull in {source} gets their content")
    return Checkout(
        path=destination,
        commit=heads[""].commit if "" in heads else "",
        ref=ref or "",
        url=str(source),
        served_by="directory",
        pinned=False,
        submodules=tuple((path, head.commit) for path, head in heads.items() if path),
        dirty=bool(modified),
        modified=modified,
        digest=seen.digest,
        served=((str(source), "directory"),),
        notes=tuple(notes),
    )


def copied_items(record: Mapping[str, Any]) -> dict[str, Item]:
    """What the record of a copy says was copied; nothing when it is the record of something else."""
    copied = _Copied.from_json(record)
    return copied.items if copied else {}


def _places(source: Path, destination: Path) -> tuple[Path, Path]:
    if not source.is_dir():
        raise SourceError(f"{source} is not a directory", remedy="give --source an upstream checkout or a URL")
    source = source.resolve()
    if destination.is_symlink():
        raise SourceError(f"{destination} is a symbolic link", remedy="remove it, or choose another --workspace")
    destination = destination.absolute()
    real = destination.resolve()
    if real.is_relative_to(source) or source.is_relative_to(real):
        what = f"the source {source} and its copy {destination} lie one in the other"
        raise SourceError(what, remedy="choose a --workspace outside the source")
    return source, destination


def _same(old: Mapping[str, Item], new: Mapping[str, Item]) -> bool:
    def essence(items: Mapping[str, Item]) -> dict[str, tuple[str, int, str]]:
        return {path: (item.kind, item.mode, item.content) for path, item in items.items()}

    return essence(old) == essence(new)


def _copy(
    source: Path,
    destination: Path,
    seen: Survey,
    heads: dict[str, Head],
    old: _Copied | None,
    trusted: bool,
    git: Git,
) -> _Copied:
    # A tree of another kind (a checkout of obtain's) has no items: it is replaced as a whole.
    fresh = old is None
    target = partial_path(destination) if fresh else destination
    # Until this is complete, the names of both states are ours to take away.
    names = {**(old.items if old else {}), **seen.items}
    if fresh:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
    else:
        write_record(destination, _Copied(names, {}, ()).to_json(), complete=False)
        target.mkdir(exist_ok=True)
    before = old.items if old else {}
    if not trusted:
        before = {path: Item(item.kind, item.mode, "", item.mark) for path, item in before.items()}
    items = sync(source, target, seen.items, before, fresh=fresh)
    if old and trusted and heads == old.heads:
        notes = old.notes
    else:
        for path in set(old.heads if old else ()) - set(heads):
            shutil.rmtree(target / path / ".git", ignore_errors=True)
        notes = give_repositories(heads, target, git)
    made = _Copied(items, heads, notes)
    if fresh:
        write_record(destination, _Copied(names, {}, ()).to_json(), complete=False)
        if destination.exists():
            shutil.rmtree(destination)
        target.replace(destination)
    write_record(destination, made.to_json(), complete=True)
    return made


def _remarks(seen: Survey) -> list[str]:
    notes = []
    outside = seen.leading_out()
    if outside:
        notes.append(f"symbolic links lead out of the source and were kept as links: {shown(outside)}")
    if seen.skipped:
        notes.append(f"sockets, pipes and devices were left out: {shown(seen.skipped)}")
    return notes
