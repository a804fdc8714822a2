"""Archives that CMake downloads without git: obtained beforehand for their hashes, and held against what it took.

Upstream declares no hash for them, and nothing leads CMake's own downloads elsewhere but the variable that upstream
reads (build/downloads.py): so what it downloaded is looked at, where FetchContent keeps it (CMake's FetchContent.cmake
and ExternalProject.cmake: ``_deps/NAME-subbuild/NAME-populate-prefix/src``, or ``_deps/NAME-tmp`` without a build of
its own, CMake 3.30; ``NAME-prefix/src`` for ExternalProject_Add).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trtllm_builder.build.run import Run
from trtllm_builder.errors import BuilderError, ProfileError, SourceError
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.source.archives import archive_name, obtain_archive
from trtllm_builder.source.failures import TransportError
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.web import Client
from trtllm_builder.text import clean, redact
from trtllm_builder.upstream.fetch_content import Declared

_PLACES = ("_deps/*-subbuild/*-populate-prefix/src/*", "_deps/*-tmp/*", "*-prefix/src/*", "*/*-prefix/src/*")
_ENDINGS = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".zip", ".7z", ".tar")


@dataclass(frozen=True)
class Archive:
    """One that lies at ``path``; ``size`` in bytes."""

    name: str
    url: str
    path: Path
    sha256: str
    size: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "url": redact(self.url), "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True)
class Archives:
    """``missing`` are the URLs of those that could not be had, for the reasons in ``notes``."""

    held: tuple[Archive, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def obtain_archives(wanted: Iterable[Declared], servers: Servers, client: Client) -> Archives:
    """From the source cache or a server. Whether CMake asks for one is not known here, so that one which cannot be had
    is a note; a server that does not answer is asked once."""
    held, missing, notes = [], [], []
    silent: set[str] = set()
    for one in wanted:
        server = urlsplit(one.url).netloc
        cached = (servers.cache / "archives" / archive_name(one.url)).is_file()
        try:
            if not cached and (server in silent or servers.offline):
                raise SourceError("the bundle does not have it" if servers.offline else f"{server} did not answer")
            path = obtain_archive(one.url, servers, client)
        except SourceError as error:
            if isinstance(error, TransportError) and error.kind == "no-network":
                silent.add(server)
            missing.append(one.url)
            notes.append(f"{clean(redact(one.url))} was not obtained: {error.what}")
            continue
        held.append(Archive(one.name, one.url, path, sha256_of(path), path.stat().st_size))
    return Archives(tuple(held), tuple(missing), tuple(notes))


def archive_inputs(fetched: Sequence[dict[str, Any]]) -> Iterator[Input]:
    """As the fetch stage left them."""
    for one in fetched:
        yield Input("download", one["name"], one["url"], {"sha256": one["sha256"]}, one["size"])


def check_downloaded(run: Run) -> None:
    """Raises ProfileError for an archive that CMake took and the lock does not have so, and SourceError without a lock
    for one that is not what was obtained beforehand."""
    ours = run.results["fetch"]["archives"]
    known = {one["sha256"] for one in ours}
    for path in downloaded(run.workspace.build):
        found = sha256_of(path)
        if found in known:
            continue
        told = clean(str(path.relative_to(run.workspace.build)))
        other = next((one for one in ours if _is_of(path, one)), None)
        if run.material.request.locked is not None:
            what = f"download {told}: {found[:16]}, "
            what += f"and the lock has {other['sha256'][:16]}" if other else "which the lock does not have"
            raise ProfileError(
                f"this is not what was locked: {what}",
                remedy="what that server gives has changed: make a new lock, or build from a bundle that has the old",
            )
        if other is not None:
            raise _changed(run, told, other)
        run.observer.note(f"CMake downloaded {told}, sha256 {found}, which is not in the lock")


def _changed(run: Run, told: str, other: dict[str, Any]) -> BuilderError:
    cached = Path(run.plan.caches) / "archives" / archive_name(other["url"])
    return SourceError(
        f"CMake downloaded {told} with other bytes than {other['url']} gave before",
        remedy=f"see whether upstream moved that tag; if so delete {cached}, and build again",
    )


def downloaded(build: Path) -> list[Path]:
    """Archives that CMake downloaded into that build directory."""
    found = (path for pattern in _PLACES for path in build.glob(pattern))
    return sorted(path for path in found if path.name.endswith(_ENDINGS) and path.is_file())


def _is_of(path: Path, one: dict[str, Any]) -> bool:
    """Whether it was downloaded for that declaration: FetchContent writes its name in lower case."""
    above = {path.parent.name.lower(), path.parent.parent.name.lower()}
    return not above.isdisjoint(f"{one['name'].lower()}{end}" for end in ("-populate-prefix", "-tmp", "-prefix"))
