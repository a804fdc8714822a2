"""What the build would clone by itself, obtained beforehand and laid out so that git serves it from the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.errors import SourceError
from trtllm_builder.source.cache import Cache
from trtllm_builder.source.failures import TransportError, classify, os_errors
from trtllm_builder.source.git import Git
from trtllm_builder.source.model import ORIGINAL, Mirror
from trtllm_builder.source.redirect import place_of
from trtllm_builder.source.refs import check_ref, is_commit
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.urls import Url, parse_url
from trtllm_builder.text import clean

_DEEPEST = 8


@dataclass(frozen=True)
class Wanted:
    """A repository that a build will clone; ``tag`` is a branch, a tag or a commit."""

    name: str
    url: str
    tag: str
    submodules: bool


@dataclass(frozen=True)
class Held:
    """One repository at one commit that lies on the disk. ``ref`` is what the build asks for, when no commit."""

    name: str
    url: str
    commit: str
    served_by: str
    ref: str = ""


@dataclass(frozen=True)
class Obtained:
    """``missing`` are names of those that could not be had, for the reasons in ``notes``."""

    held: tuple[Held, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def obtain_dependencies(wanted: Sequence[Wanted], servers: Servers, served: Path) -> Obtained:
    """Each of ``wanted``, with submodules, below ``served`` (see redirect.place_of). Raises only for faults of ours.

    Whether CMake asks for one is not known here, so one that cannot be had is a note. A server that does not answer is
    asked once, and whoever answered last is asked first.
    """
    held: list[Held] = []
    notes: list[str] = []
    missing: list[str] = []
    silent: set[str] = set()
    servers = replace(servers, rounds=1)
    for one in wanted:
        try:
            url = parse_url(one.url)
            place = url.text.split("/")[2] if "://" in url.text else url.text
            found = _obtain(one, url, replace(servers, offline=servers.offline or place in silent), served, 0)
        except SourceError as error:
            if isinstance(error, TransportError):
                if error.local:
                    raise
                if error.kind == "no-network":
                    silent.add(place)
            missing.append(one.name)
            notes.append(f"{clean(one.name)} was not obtained beforehand: {error.what}")
            continue
        held += found
        servers = replace(servers, mirrors=_asked_first(found[0].served_by, servers.mirrors))
    return Obtained(tuple(held), tuple(missing), tuple(notes))


def _asked_first(name: str, mirrors: tuple[Mirror, ...]) -> tuple[Mirror, ...]:
    first = [mirror for mirror in mirrors if mirror.name == name]
    if name == ORIGINAL and not first:
        first = [Mirror(ORIGINAL)]
    return (*first, *(mirror for mirror in mirrors if mirror not in first))


def _obtain(one: Wanted, url: Url, servers: Servers, served: Path, depth: int) -> list[Held]:
    commit = one.tag if is_commit(one.tag) else None
    if commit is None:
        check_ref(one.tag)
    place = place_of(served, url)

    def use(cache: Cache, commit: str) -> None:
        serve(cache, commit, place)

    try:
        found = servers.provide(url, commit=commit, ref=None if commit else one.tag, use=use)
    except TransportError as error:
        if commit or servers.offline or not error.transient:
            raise
        # What the tag was when it was last seen is better than nothing.
        found = replace(servers, offline=True).provide(url, commit=None, ref=one.tag, use=use)
    if commit is None:
        _name(servers.git, place, one.tag, found.commit)
    held = [Held(one.name, url.text, found.commit, found.served_by, "" if commit else one.tag)]
    if one.submodules:
        for below in _submodules(servers.git, place, url, found.commit):
            if depth == _DEEPEST:
                raise SourceError(f"{clean(one.name)} nests over {_DEEPEST} submodules deep", remedy="check it")
            held += _obtain(below, parse_url(below.url), servers, served, depth + 1)
    return held


def serve(cache: Cache, commit: str, place: Path) -> None:
    """A bare repository at ``place`` that anybody may clone ``commit`` from; objects are shared with the cache."""
    git = cache.git
    with os_errors(f"laying out {place}"):
        if not (place / "HEAD").is_file():
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            _sure(git, None, "init", "--quiet", "--bare", "--template=", str(place))
            _sure(git, place, "config", "uploadpack.allowAnySHA1InWant", "true")
        cache.lend_objects(place)
    branch = f"refs/heads/pinned-{commit[:16]}"
    _sure(git, place, "update-ref", branch, commit)
    _sure(git, place, "symbolic-ref", "HEAD", branch)


def _name(git: Git, place: Path, tag: str, commit: str) -> None:
    name = tag if tag.startswith("refs/") else f"refs/tags/{tag}"
    _sure(git, place, "update-ref", name, commit)


def _submodules(git: Git, place: Path, url: Url, commit: str) -> list[Wanted]:
    if not git.run("cat-file", "-e", f"{commit}:.gitmodules", directory=place).ok:
        return []
    from trtllm_builder.source.submodules import read_submodules

    scratch = place.with_name(f".{place.name}-index")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        # An index without a work tree is enough to read gitlinks from.
        _sure(git, None, "init", "--quiet", "--template=", str(scratch))
        (scratch / ".git" / "objects" / "info").mkdir(parents=True, exist_ok=True)
        (scratch / ".git" / "objects" / "info" / "alternates").write_text(f"{place / 'objects'}\n")
        if (place / "shallow").is_file():
            shutil.copyfile(place / "shallow", scratch / ".git" / "shallow")
        _sure(git, scratch, "update-ref", "--no-deref", "HEAD", commit)
        _sure(git, scratch, "read-tree", "HEAD")
        listed = read_submodules(scratch, url, git)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [Wanted(f"{one.path} of {url.path}", one.url.text, one.commit, True) for one in listed.wanted]


def _sure(git: Git, directory: Path | None, *words: str) -> None:
    done = git.run(*words, directory=directory)
    if not done.ok:
        raise classify(done, f"git {words[0]} in {directory or words[-1]}")
