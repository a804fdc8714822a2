"""From a name or a path to a validated profile: files put over each other, then ``--set``, then the model."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from trtllm_builder.errors import ProfileError, Where
from trtllm_builder.profile.explain import origins
from trtllm_builder.profile.faults import faults, value_where
from trtllm_builder.profile.marks import List, Map, Text, Value, read_map, shown
from trtllm_builder.profile.merge import is_null, merge, override, plain
from trtllm_builder.profile.model import MirrorFile, MirrorSet, Profile, ProfileFile
from trtllm_builder.profile.scalars import parse_schema
from trtllm_builder.profile.search import MIRRORS, every, find, is_path, kind_of, search_path
from trtllm_builder.text import has_credentials

__all__ = [
    "Listed",
    "LoadedProfile",
    "Shadow",
    "check_file",
    "list_profiles",
    "load_profile",
    "load_settings",
    "locate",
    "search_path",
]

MOST_FILES = 16
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Shadow:
    """A file that was not used because another of its name comes first on the search path."""

    name: str
    used: Path
    hidden: Path


@dataclass(frozen=True)
class LoadedProfile:
    """``chain`` are the files that the profile is made of, bases first and its own last."""

    profile: Profile
    path: Path
    chain: tuple[Path, ...]
    shadowed: tuple[Shadow, ...]
    mirrors: tuple[MirrorSet, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """A profile on the search path; ``fault`` says what is wrong with it, ``hidden_by`` which file comes before it."""

    name: str
    path: Path
    description: str
    fault: ProfileError | None
    hidden_by: Path | None


def load_profile(name_or_path: str, *, profile_dirs: Sequence[Path], overrides: Sequence[str] = ()) -> LoadedProfile:
    """The profile of that name on ``profile_dirs`` (see :func:`search_path`) or in that file.

    ``overrides`` are ``path=VALUE`` as ``--set`` takes them. Raises ProfileError: the first fault, at its
    place, with all others beside it.
    """
    files = _Files(tuple(profile_dirs))
    path = files.resolve(name_or_path, None, None)
    if kind_of(path) != "profile":
        raise ProfileError(f"{shown(name_or_path)} is a part that profiles use, not a profile", where=Where(str(path)))
    tree = files.tree(path, None)
    for text in overrides:
        over = override(text)
        if "extends" in over:
            raise ProfileError("`extends` cannot be set; write a profile", where=over.key_where["extends"])
        tree = merge(tree, over)
    checked = _checked(ProfileFile, tree)
    mirrors = tuple(
        files.mirrors(name, value_where(tree, ["source", "mirrors", index]))
        for index, name in enumerate(checked.source.mirrors)
    )
    name = re.sub(r"[^\w.+-]+", "-", path.stem if is_path(name_or_path) else name_or_path)
    values = {field: getattr(checked, field) for field in ProfileFile.model_fields}
    profile = Profile(name=name, origins=origins(checked, tree), **values)
    return LoadedProfile(
        profile=profile,
        path=path,
        chain=tuple(files.chain),
        shadowed=tuple(files.shadowed),
        mirrors=mirrors,
        notes=_notes(profile, files.shadowed),
    )


def locate(name_or_path: str, *, profile_dirs: Sequence[Path]) -> Path:
    """The file of that name, or at that path, whatever is in it. Raises ProfileError when there is none."""
    return _Files(tuple(profile_dirs)).resolve(name_or_path, None, None)


def list_profiles(profile_dirs: Sequence[Path]) -> tuple[Listed, ...]:
    """All profiles on the search path by name; parts and mirror sets are not profiles."""
    first: dict[str, Path] = {}
    listed = []
    for name, path in every(profile_dirs):
        description, fault = "", None
        try:
            description = load_profile(str(path.absolute()), profile_dirs=profile_dirs).profile.description
        except ProfileError as error:
            fault = error
        used = first.setdefault(name, path)
        listed.append(Listed(name, path, description, fault, None if used is path else used))
    return tuple(sorted(listed, key=lambda one: one.name))


def check_file(name_or_path: str, *, profile_dirs: Sequence[Path]) -> tuple[Path, str]:
    """The file and its kind (``profile``, ``part``, ``mirrors``) when it is valid, else ProfileError.

    A part need not be complete, but what it says has to be right.
    """
    files = _Files(tuple(profile_dirs))
    path = files.resolve(name_or_path, None, None)
    kind = kind_of(path)
    if kind == "profile":
        load_profile(name_or_path, profile_dirs=profile_dirs)
    elif kind == "mirrors":
        _mirror_set(path)
    else:
        _check(ProfileFile, files.tree(path, None), part=True)
    return path, kind


def _check(model: type[_Model], tree: Map, *, part: bool) -> _Model | None:
    try:
        return model.model_validate(plain(tree))
    except ValidationError as error:
        fault = faults(error, tree, model, part=part)
    if fault is not None:
        raise fault
    return None


def _checked(model: type[_Model], tree: Map) -> _Model:
    checked = _check(model, tree, part=False)
    assert checked is not None  # noqa: S101 - only a part may be incomplete
    return checked


def load_settings(model: type[_Model], path: Path) -> _Model:
    """A file of settings of another kind, read as profiles are. Raises ProfileError at the line that is wrong."""
    return _checked(model, read_map(path))


def _mirror_set(path: Path) -> MirrorSet:
    file = _checked(MirrorFile, read_map(path))
    return MirrorSet(name=path.stem, **{field: getattr(file, field) for field in MirrorFile.model_fields})


def _notes(profile: Profile, shadowed: Sequence[Shadow]) -> tuple[str, ...]:
    notes = [f"{one.used} hides {one.hidden}" for one in shadowed]
    if has_credentials(profile.source.url):
        notes.append("source.url carries credentials; they are shown nowhere, but whoever reads the profile has them")
    return (*notes, *unpinned(profile))


def unpinned(profile: Profile) -> tuple[str, ...]:
    """What to know of a ref that somebody else's server resolves; nothing where the source is a directory."""
    if not profile.source.mirrors or profile.source.commit is not None:
        return ()
    return (f"{profile.source.ref} is not pinned to a commit and comes through a mirror: do not publish it",)


@dataclass
class _Files:
    """The files that one profile is made of, each read once."""

    dirs: tuple[Path, ...]
    chain: list[Path] = field(default_factory=list)
    shadowed: list[Shadow] = field(default_factory=list)
    _trees: dict[Path, Map] = field(default_factory=dict)
    _open: list[Path] = field(default_factory=list)

    def resolve(self, text: str, where: Where | None, extending: Path | None) -> Path:
        """The file that ``text`` names; a path is relative to the file that extends it, else to where we are."""
        if not is_path(text):
            found = find(text, self.dirs, where=where, besides=extending)
            self.shadowed += [Shadow(text, found.path, hidden) for hidden in found.hidden if hidden != extending]
            return found.path
        # Not Path's own methods: those raise for a missing home directory, a NUL and names that are too long.
        path = Path(os.path.expanduser(text))  # noqa: PTH111
        path = extending.parent / path if extending else path
        if not os.path.exists(path):  # noqa: PTH110
            raise ProfileError("there is no such file", where=where or Where(shown(text)[1:-1]))
        return path

    def tree(self, path: Path, where: Where | None) -> Map:
        """What the file and everything that it extends say together; ``where`` is the ``extends`` that asked."""
        real = path.resolve()
        if real in self._open:
            circle = " -> ".join(one.name for one in [*self._open[self._open.index(real) :], real])
            raise ProfileError(f"`extends` goes in a circle: {circle}", where=where)
        if real in self._trees:
            return self._trees[real]
        if len(self._open) >= MOST_FILES:
            raise ProfileError(f"`extends` goes more than {MOST_FILES} files deep", where=where)
        own = read_map(path)
        _check_schema(own)
        self._open.append(real)
        merged = Map(own.where)
        for entry in _extends(own):
            merged = merge(merged, self.tree(self.resolve(entry, entry.where, path), entry.where))
        self._open.pop()
        said = Map(own.where)
        for key, value in own.items():
            if key != "extends":
                said.put(key, own.key_where[key], value)
        self.chain.append(path)
        self._trees[real] = merge(merged, said)
        return self._trees[real]

    def mirrors(self, name: str, where: Where) -> MirrorSet:
        found = find(f"{MIRRORS}/{name}", self.dirs, where=where)
        self.shadowed += [Shadow(f"{MIRRORS}/{name}", found.path, hidden) for hidden in found.hidden]
        return _mirror_set(found.path)


def _check_schema(own: Map) -> None:
    # Each file says it, so that a part written for a later version is not misread.
    schema: Value | None = own.get("schema")
    if schema is None or is_null(schema):
        raise ProfileError("`schema: 1` is missing", where=schema.where if schema else Where(own.where.path))
    if not isinstance(schema, Text):
        raise ProfileError("expected `schema: 1`", where=schema.where)
    try:
        parse_schema(schema)
    except ValueError as error:
        raise ProfileError(str(error), where=schema.where) from None


def _extends(own: Map) -> list[Text]:
    value = own.get("extends")
    if value is None or is_null(value):
        return []
    entries = list(value) if isinstance(value, List) else [value]
    for entry in entries:
        if not isinstance(entry, Text) or entry.is_null:
            raise ProfileError("expected a profile's name or a list of names", where=entry.where)
    return [entry for entry in entries if isinstance(entry, Text)]
