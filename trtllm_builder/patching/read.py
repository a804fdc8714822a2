"""Patch sets on disk: a directory NAME with a patch.yaml and the files that it names."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trtllm_builder.data import own_dirs, shipped
from trtllm_builder.errors import ProfileError, UsageError, Where
from trtllm_builder.patching.model import Closes, Diff, FileEnsure, Operation, PatchFile, When
from trtllm_builder.profile.marks import List, Map, read_map, shown
from trtllm_builder.text import nearest

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class PatchSet:
    """A set as read. ``digest`` is sha256 over its files' names and contents; ``files`` are those beside patch.yaml."""

    name: str
    path: Path
    digest: str
    description: str
    when: tuple[When, ...]
    closes: tuple[Closes, ...]
    operations: tuple[Operation, ...]
    files: Mapping[str, bytes]


def set_dirs(extra: Sequence[Path] = (), environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Where sets are looked for: the given directories, the user's own, the shipped ones."""
    return (*extra, *own_dirs("patches", environ), shipped("patches"))


def find_sets(dirs: Sequence[Path]) -> dict[str, Path]:
    """Name to directory of every set, the first directory winning."""
    found: dict[str, Path] = {}
    for directory in dirs:
        for file in sorted(directory.glob("*/patch.yaml")):
            found.setdefault(file.parent.name, file.parent)
    return dict(sorted(found.items()))


def load_set(name: str, dirs: Sequence[Path]) -> PatchSet:
    """The set of that name. Raises UsageError when there is none, ProfileError with the place of a fault in it."""
    found = find_sets(dirs)
    if not _NAME.fullmatch(name) or name not in found:
        near = nearest(name, list(found))
        raise UsageError(
            f"there is no patch set {shown(name)}",
            remedy=f"did you mean `{near}`?" if near else f"the sets are: {', '.join(found) or 'none'}",
        )
    return read_set(found[name])


def read_set(directory: Path) -> PatchSet:
    """The set in ``directory``."""
    path = directory / "patch.yaml"
    tree = read_map(path)
    try:
        content = PatchFile.model_validate(tree)
    except ValidationError as error:
        raise _fault(error, tree) from None
    files = {}
    ids: set[str] = set()
    for index, operation in enumerate(content.operations):
        if operation.id in ids:
            where = _place(tree, ("operations", index, "id"), of_key=False)
            raise ProfileError(f"the id `{operation.id}` stands twice", where=where)
        ids.add(operation.id)
        if isinstance(operation, (Diff, FileEnsure)):
            files[operation.source] = _beside(directory, operation.source, tree, index)
    digest = hashlib.sha256()
    for name, data in sorted({"patch.yaml": path.read_bytes(), **files}.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return PatchSet(
        name=directory.name,
        path=directory,
        digest=digest.hexdigest(),
        description=" ".join(content.description.split()),
        when=content.when,
        closes=content.closes,
        operations=content.operations,
        files=files,
    )


def _beside(directory: Path, name: str, tree: Map, index: int) -> bytes:
    path = directory / name
    if not Path(os.path.realpath(path)).is_relative_to(directory.resolve()) or not path.is_file():
        where = _place(tree, ("operations", index, "from"), of_key=False)
        raise ProfileError(f"there is no file {shown(name)} beside patch.yaml", where=where)
    return path.read_bytes()


def _fault(error: ValidationError, tree: Map) -> ProfileError:
    found = [_one(dict(detail), tree) for detail in error.errors(include_url=False)]
    found.sort(key=lambda one: (one.where.line, one.where.column) if one.where else (0, 0))
    first = found[0]
    return ProfileError(first.what, where=first.where, others=tuple(found[1:]))


def _one(detail: dict[str, Any], tree: Map) -> ProfileError:
    place, kind = detail["loc"], detail["type"]
    if kind == "extra_forbidden":
        return ProfileError(f"unknown key {shown(str(place[-1]))}", where=_place(tree, place, of_key=True))
    if kind == "missing":
        return ProfileError(f"`{place[-1]}` is missing", where=_place(tree, place[:-1], of_key=False))
    if kind == "value_error":
        return ProfileError(str(detail["ctx"]["error"]), where=_place(tree, place, of_key=False))
    if kind == "union_tag_invalid":
        given = str(detail["input"].get("op", ""))
        known = [one.strip(" '") for one in str(detail["ctx"]["expected_tags"]).split(",")]
        near = nearest(given, known)
        known_text = f"did you mean `{near}`?" if near else f"one of {', '.join(known)}"
        where = _place(tree, (*place, "op"), of_key=False)
        return ProfileError(f"there is no operation {shown(given)}; {known_text}", where=where)
    if kind == "literal_error":
        what = f"expected {detail['ctx']['expected']}, not {shown(str(detail['input']))}"
        return ProfileError(what, where=_place(tree, place, of_key=False))
    if kind == "union_tag_not_found":
        return ProfileError("`op` is missing", where=_place(tree, place, of_key=False))
    return ProfileError(str(detail["msg"]), where=_place(tree, place, of_key=False))


def _place(tree: Map, steps: Sequence[Any], *, of_key: bool) -> Where:
    """Where these steps lead; pydantic's own (the operation's tag, an index into what was no list) are passed over."""
    here: Any = tree
    where = tree.where
    for step in steps:
        if isinstance(here, Map) and step in here:
            key, here = here.key_where[step], here[step]
            where = key if of_key else here.where
        elif isinstance(here, List) and isinstance(step, int) and step < len(here):
            here = here[step]
            where = here.where
    return where
