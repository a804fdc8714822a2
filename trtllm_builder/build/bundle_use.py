"""Building from a bundle: its parts, checked, where the build's git, pip and our own source cache look for them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtllm_builder.build.bundle_archive import read_manifest, unpack_bundle
from trtllm_builder.build.bundle_facts import Repository, check_fits
from trtllm_builder.build.workspace import tag_cache
from trtllm_builder.data import cache_dir
from trtllm_builder.errors import HostError, SourceError
from trtllm_builder.plan.request import Request
from trtllm_builder.source.cache import open_cache
from trtllm_builder.source.git import Git, find_git
from trtllm_builder.source.lfs import Store
from trtllm_builder.source.refs import is_commit
from trtllm_builder.source.urls import parse_url

# What would lead pip or uv to a server, and what would slow a refusal down.
_TO_THE_NETWORK = ("PIP_", "UV_")


def with_bundle(request: Request) -> Request:
    """The same request, all of whose downloads lie unpacked on the disk; unchanged when no bundle was asked for.

    A bundle is unpacked once, in the user's cache. Raises SourceError for one that is not sound, UsageError for one
    that was made for something else, HostError for the disk's faults.
    """
    if request.asked.bundle is None or request.bundle is not None:
        return request
    manifest = read_manifest(request.asked.bundle)
    check_fits(manifest.facts, request)
    root = cache_dir(request.environ)
    place = root / "bundles" / manifest.digest[:16]
    try:
        if not (place / "complete").is_file():
            tag_cache(root)
            _unpack(request.asked.bundle, place, find_git(request.environ))
    except OSError as error:
        raise HostError(
            f"the bundle could not be unpacked to {place}: {error.strerror}",
            remedy="free some room, or set XDG_CACHE_HOME to a directory on a larger disk",
        ) from error
    environ = {name: value for name, value in request.environ.items() if not name.upper().startswith(_TO_THE_NETWORK)}
    # pip's own configuration file could name an index; PIP_NO_INDEX outranks it.
    environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    profile = request.loaded.profile
    source = profile.source.model_copy(update={"commit": _commit(manifest.facts, request)})
    update: dict[str, Any] = {"source": source}
    archives = manifest.facts.get("archives")
    for kind in ("cuda", "tensorrt"):
        if isinstance(archives, dict) and kind in archives:
            inside = place / "archives" / Path(str(archives[kind])).name
            update[kind] = getattr(profile, kind).model_copy(update={"archive": str(inside)})
    loaded = replace(request.loaded, profile=profile.model_copy(update=update))
    return replace(request, loaded=loaded, environ=environ, bundle=place)


def _commit(facts: Mapping[str, Any], request: Request) -> str | None:
    """The profile's own, else the one that its ref led to when the bundle was made."""
    own, theirs = request.loaded.profile.source.commit, facts.get("commit")
    return own or (theirs if isinstance(theirs, str) and is_commit(theirs) else None)


def _unpack(bundle: Path, place: Path, git: Git) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    for stale in place.parent.glob(f".{place.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        manifest = unpack_bundle(bundle, fresh)
        for directory in ("wheels", "git"):
            (fresh / directory).mkdir(exist_ok=True)
        store = Store(fresh / "lfs")
        for part in manifest.parts:
            kind, _, name = part.name.partition("/")
            if kind == "lfs":
                store.path(name).parent.mkdir(parents=True, exist_ok=True)
                (fresh / part.name).rename(store.path(name))
        for one in _repositories(manifest.facts, bundle):
            _fill_cache(one, fresh, git)
        (fresh / "complete").touch()
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _repositories(facts: Mapping[str, Any], bundle: Path) -> list[Repository]:
    try:
        found = [
            Repository(
                str(one["url"]), tuple(map(str, one["commits"])), {str(k): str(v) for k, v in one["names"].items()}
            )
            for one in facts["repositories"]
        ]
    except (KeyError, TypeError, AttributeError):
        found = []
    if not found or not all(is_commit(commit) for one in found for commit in (*one.commits, *one.names.values())):
        raise SourceError(f"{bundle} does not say what is in its repositories", remedy="make a new bundle")
    return found


def _strings(table: Mapping[object, object]) -> dict[str, str]:
    return {str(key): str(value) for key, value in table.items()}


def _fill_cache(one: Repository, root: Path, git: Git) -> None:
    """A source cache of the pack. git computes every object's name from its content, so a commit is what it says."""
    url = parse_url(one.url)
    with open_cache(root, url, git, end=time.monotonic() + 60, log=lambda _line: None) as cache:
        pack = cache.path / "objects" / "pack" / "pack-bundle.pack"
        pack.parent.mkdir(parents=True, exist_ok=True)
        (root / one.part).rename(pack)
        pack.chmod(0o444)
        (cache.path / "shallow").write_text("".join(f"{commit}\n" for commit in one.commits))
        steps = [("index-pack", "--strict", str(pack))]
        steps += [("update-ref", f"refs/pins/{commit}", commit) for commit in one.commits]
        steps += [("fsck", "--connectivity-only", "--no-dangling")]
        for words in steps:
            done = git.run(*words, directory=cache.path, timeout=1800, lock=cache.lock)
            if not done.ok:
                raise SourceError(
                    f"the bundle's copy of {url.shown} is not whole: {done.last_line}", remedy="make a new bundle"
                )
        for name, commit in one.names.items():
            cache.remember(url.text, name, commit)
