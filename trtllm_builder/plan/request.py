"""What somebody asked for on the command line: kept with the run, so that it can be asked again from anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtllm_builder.errors import UsageError
from trtllm_builder.plan.locking import from_lock, held_to
from trtllm_builder.plan.paths import expand_home
from trtllm_builder.profile.load import LoadedProfile, load_profile, search_path
from trtllm_builder.profile.names import canary_size, parse_source_url
from trtllm_builder.profile.search import is_path
from trtllm_builder.repro.lock import Lock, build_tag, read_lock
from trtllm_builder.text import redact

# user@host:path, as ssh writes it
_SSH = re.compile(r"[\w.+-]+@[\w.-]+:")
# As build.jobs of a profile has it.
_MOST_JOBS = 9999


@dataclass(frozen=True)
class Asked:
    """The words of the command line. ``profile`` is a name or a path, ``source`` a directory or a URL that stands in
    for the profile's; ``workspace``, ``out``, ``bundle`` (which the build takes everything from) and ``locked``
    (the lock that it is held to, whose profile it is when ``profile`` is empty) are absolute. ``index``, a directory or
    a URL, stands in for the profile's. ``build_tag`` is the wheel's where it is not that of its lock, empty for none.
    """

    profile: str
    out: Path
    source: str | None = None
    workspace: Path | None = None
    overrides: tuple[str, ...] = ()
    jobs: int | None = None
    profile_dirs: tuple[Path, ...] = ()
    bundle: Path | None = None
    locked: Path | None = None
    index: str | None = None
    build_tag: str | None = None

    @property
    def directory(self) -> Path | None:
        """The source directory, when that is what ``source`` names."""
        if self.source is None or "://" in self.source or _SSH.match(self.source):
            return None
        if canary_size(self.source) is not None:
            return None
        return Path(self.source).expanduser().absolute()

    def to_json(self) -> dict[str, Any]:
        """Plain values with every path absolute and without credentials."""
        profile = str(Path(self.profile).expanduser().absolute()) if is_path(self.profile) else self.profile
        kept = {
            "profile": profile,
            "out": str(self.out),
            "source": str(self.directory) if self.directory else self.source,
            "workspace": str(self.workspace) if self.workspace else None,
            "overrides": list(self.overrides),
            "jobs": self.jobs,
            "profile_dirs": [str(directory.absolute()) for directory in self.profile_dirs],
            "bundle": str(self.bundle) if self.bundle else None,
            "locked": str(self.locked) if self.locked else None,
            "index": self.index,
            "build_tag": self.build_tag,
        }
        shown: dict[str, Any] = json.loads(redact(json.dumps(kept)))
        return {**shown, "whole": shown == kept}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Asked:
        """Raises UsageError when credentials were left out of it, and for anything that ``to_json`` did not write."""
        try:
            asked = cls(
                profile=str(data["profile"]),
                out=Path(data["out"]),
                source=data["source"],
                workspace=Path(data["workspace"]) if data["workspace"] else None,
                overrides=tuple(map(str, data["overrides"])),
                jobs=data["jobs"],
                profile_dirs=tuple(map(Path, data["profile_dirs"])),
                bundle=Path(data["bundle"]) if data.get("bundle") else None,
                locked=Path(data["locked"]) if data.get("locked") else None,
                index=data.get("index"),
                build_tag=data.get("build_tag"),
            )
            whole = data["whole"]
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"what the run was started with cannot be read: {type(error).__name__}: {error}",
                remedy="give the command again that started it: it goes on where the run stopped",
            ) from None
        if not whole:
            raise UsageError(
                "the run was started with credentials in a URL, which are not kept",
                remedy="give the command again that started it: it goes on where the run stopped",
            )
        return asked


@dataclass(frozen=True)
class Request:
    """What was asked, with the profile that it means now and the environment it is asked in. ``bundle`` is where the
    asked bundle was unpacked: then nothing comes from the network. ``locked`` is the asked lock."""

    asked: Asked
    loaded: LoadedProfile
    environ: Mapping[str, str]
    bundle: Path | None = None
    locked: Lock | None = None

    @property
    def directory(self) -> Path | None:
        """The source directory, when one was given in the place of the profile's URL."""
        return self.asked.directory

    @property
    def url(self) -> str:
        """The source URL when no directory is given."""
        return self.loaded.profile.source.url if self.asked.source is None else self.asked.source

    @property
    def build_tag(self) -> str:
        """The wheel's (PEP 427), empty for none: with a lock two wheels of one name are never two different ones."""
        if self.asked.build_tag is not None or self.locked is None:
            return self.asked.build_tag or ""
        return build_tag(self.locked.epoch, self.locked.digest)

    @property
    def index(self) -> str | None:
        """Where wheels are looked for that were built from the same lock."""
        return self.asked.index or self.loaded.profile.index


def make_request(asked: Asked, environ: Mapping[str, str]) -> Request:
    """Raises ProfileError, and UsageError for a directory that is not there or a URL that git must not get."""
    if asked.jobs is not None and not 1 <= asked.jobs <= _MOST_JOBS:
        raise UsageError(f"--jobs {asked.jobs}: expected a number from 1 to {_MOST_JOBS}", remedy="or leave it out")
    for directory in asked.profile_dirs:
        if not directory.is_dir():
            raise UsageError(f"--profile-dir {directory} is no directory", remedy="name one that has profiles in it")
    if asked.index is not None and "://" in asked.index and not asked.index.lower().startswith(("http://", "https://")):
        remedy = "name a directory, or an http or https URL"
        raise UsageError(f"--index {redact(asked.index)} is no URL that an index has", remedy=remedy)
    directories = search_path(asked.profile_dirs, environ)
    locked = read_lock(asked.locked) if asked.locked else None
    if asked.locked and locked and not asked.profile:
        loaded = from_lock(locked, asked.locked, asked.overrides)
    else:
        loaded = load_profile(asked.profile, profile_dirs=directories, overrides=asked.overrides)
        if asked.locked and locked:
            loaded = held_to(loaded, locked, asked.locked)
    loaded = replace(loaded, profile=expand_home(loaded.profile, environ))
    remedy = "name a directory with a TensorRT-LLM checkout, or a URL such as https://host/path.git"
    if asked.directory is not None and not asked.directory.is_dir():
        raise UsageError(f"--source {asked.source} is no directory", remedy=remedy)
    if asked.source is not None and asked.directory is None:
        try:
            parse_source_url(asked.source)
        except ValueError as error:
            raise UsageError(f"--source: {error}", remedy=remedy) from None
    return Request(asked, loaded, environ, locked=locked)
