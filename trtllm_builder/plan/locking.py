"""What of a profile a lock holds, and the profile that a lock asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trtllm_builder import canary
from trtllm_builder.errors import ProfileError, UsageError, Where
from trtllm_builder.profile.load import LoadedProfile
from trtllm_builder.profile.model import Profile, ProfileFile
from trtllm_builder.repro.lock import Lock, profile_differences

# Where things are, where they come from and how fast they are made: none of it changes a byte of what is made, and
# which commit it is, and which compiler, the inputs say.
_OF_THE_PLACE = (
    "name", "origins", "schema", "description", "workspace", "signing", "index", "source.url", "source.commit",
    "source.mirrors", "cuda.root", "cuda.archive", "tensorrt.archive",
)  # fmt: skip
# Of how it is built, all else is how fast.
_BUILD = ("type", "generator", "cmake", "flags", "environment")


def locked_values(profile: Profile) -> dict[str, Any]:
    """The profile's values but for those that change no byte of a wheel, as plain JSON values."""
    kept = profile.model_dump(mode="json", by_alias=True)
    for path in _OF_THE_PLACE:
        *parents, last = path.split(".")
        at = kept
        for parent in parents:
            at = at[parent]
        at.pop(last, None)
    kept["build"] = {name: kept["build"][name] for name in _BUILD}
    if kept["tensorrt"]["root"] != "none":
        kept["tensorrt"]["root"] = "auto"
    return kept


def held_to(loaded: LoadedProfile, lock: Lock, path: Path) -> LoadedProfile:
    """The profile at the lock's commit. Raises ProfileError when it says something else than the locked one."""
    asked = {"name": loaded.profile.name, **locked_values(loaded.profile)}
    differing = profile_differences({"name": lock.name, **lock.profile}, asked)
    if differing:
        raise ProfileError(
            f"profile {loaded.profile.name} is not the one of the lock {path}: {'; '.join(map(str, differing[:8]))}",
            remedy="leave --profile out, or make a new lock: trtllm-build lock --profile NAME -o FILE",
        )
    source = loaded.profile.source
    commit = _source(lock)[1]
    if source.commit not in (None, commit):
        raise ProfileError(
            f"source.commit is {source.commit}, and the lock {path} has {commit or 'no commit'}",
            remedy="make a new lock: trtllm-build lock --profile NAME -o FILE",
        )
    return _at(loaded, {"commit": commit})


def from_lock(lock: Lock, path: Path, overrides: tuple[str, ...]) -> LoadedProfile:
    """The profile that is in the lock. Raises ProfileError for one that is none."""
    if overrides:
        raise UsageError("--set with a lock needs --profile", remedy="name the profile that the lock was made for, too")
    try:
        checked = ProfileFile.model_validate({"schema": 1, **lock.profile})
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ProfileError(f"the profile in this lock is none: {what}", where=Where(str(path))) from None
    values = {field: getattr(checked, field) for field in ProfileFile.model_fields}
    profile = Profile(name=lock.name, origins={}, **values)
    loaded = LoadedProfile(profile, path, (path,), (), (), ())
    url, commit = _source(lock)
    return _at(loaded, {"commit": commit, **({"url": url} if url else {})})


def _at(loaded: LoadedProfile, source: Mapping[str, Any]) -> LoadedProfile:
    profile = loaded.profile
    changed = profile.source.model_copy(update=dict(source))
    return replace(loaded, profile=profile.model_copy(update={"source": changed}))


def _source(lock: Lock) -> tuple[str, str | None]:
    """URL and commit of the source; empty and None for a directory."""
    found = lock.of("source")
    commit = found[0].digest.get("gitCommit") if found else None
    url = found[0].uri.removeprefix("git+").rpartition("@")[0] if found else ""
    return canary.builtin(url), commit
