"""The source and what its build would clone by itself, and the git configuration that leads a build to the latter."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trtllm_builder import canary
from trtllm_builder.build.archives import Archive, Archives, obtain_archives
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.plan.model import Setting
from trtllm_builder.plan.request import Request
from trtllm_builder.profile.names import canary_size
from trtllm_builder.source.archives import archive_name
from trtllm_builder.source.dependencies import Held, Wanted, obtain_dependencies
from trtllm_builder.source.directory import obtain_directory
from trtllm_builder.source.git import find_git
from trtllm_builder.source.model import Checkout, Existing, Log, Mirror, SourceWant, in_order
from trtllm_builder.source.obtain import obtain
from trtllm_builder.source.redirect import write_config
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.urls import parse_url
from trtllm_builder.source.web import Client
from trtllm_builder.upstream.fetch_content import GITHUB, Declared, is_switched_off, read_declarations

_SOURCE_DEADLINE = 4 * 3600.0
_DEADLINE = 3600.0


def mirrors_of(request: Request) -> tuple[Mirror, ...]:
    """The profile's mirrors, in the order in which they are tried."""
    return tuple(
        mirror
        for one in request.loaded.mirrors
        for mirror in in_order(one.name, ((rule.prefix, rule.replacement) for rule in one.git), one.lfs)
    )


def canary_stand_in(workspace: Workspace) -> Mirror:
    """What answers in the place of the canary's servers, which do not exist; ``canary.serve`` fills it."""
    return Mirror("built in", ((canary.BASE, f"{workspace.canary.as_uri()}/"),))


@dataclass(frozen=True)
class Downloads:
    """``held`` came beforehand; ``missing`` are the names of what did not, for the reasons in ``notes``. ``archives``
    are what CMake downloads without git."""

    held: tuple[Held, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    archives: tuple[Archive, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "dependencies": [asdict(one) for one in self.held],
            "archives": [one.to_json() for one in self.archives],
            "not_obtained": list(self.missing),
        }


def obtain_source(
    request: Request, workspace: Workspace, caches: Path, *, existing: Existing = "keep", log: Log
) -> Checkout:
    """The source of the request at ``workspace.source``. Raises SourceError."""
    source = request.loaded.profile.source
    if request.directory is not None:
        return obtain_directory(
            request.directory, workspace.source, environ=request.environ, ref=source.ref, commit=source.commit,
            exclude=(str(workspace.root),), log=log, existing=existing,
        )  # fmt: skip
    url, commit, mirrors = request.url, source.commit, mirrors_of(request)
    if (size := canary_size(url)) is not None:
        commit, mirrors = canary.serve(workspace.canary, size), (canary_stand_in(workspace),)
        url = canary.url(size)
    want = SourceWant(
        url=url, ref=source.ref, commit=commit, mirrors=mirrors, lfs=source.lfs, submodules=source.submodules
    )
    return obtain(
        want, cache=request.bundle or caches, destination=workspace.source, environ=request.environ,
        deadline=_SOURCE_DEADLINE, log=log, existing=existing, offline=request.bundle is not None,
    )  # fmt: skip


def obtain_downloads(
    request: Request, workspace: Workspace, caches: Path, options: Iterable[Setting], served_by: str, log: Log
) -> Downloads:
    """Obtains what the checkout declares and no option switches off, and writes the build's git configuration.

    Whatever could not be had is a note: CMake may never ask for it. ``served_by`` is the mirror that served the source.
    """
    mirrors, offline = mirrors_of(request), request.bundle is not None
    declared = read_declarations(workspace.source)
    values = [(option.name, option.value) for option in options]
    needed = [one for one in declared.found if not is_switched_off(one, values)]
    wanted = [one for one in needed if one.kind == "git"]
    if not offline and any(one.url.startswith(canary.BASE) for one in wanted):
        if canary_size(request.url) is None or request.directory is not None:
            canary.serve(workspace.canary)
        mirrors = (canary_stand_in(workspace), *mirrors)
    end = time.monotonic() + _DEADLINE
    servers = Servers(find_git(request.environ), request.bundle or caches, mirrors, end, log, offline)
    shutil.rmtree(workspace.served, ignore_errors=True)
    found = obtain_dependencies([_wanted(one) for one in wanted], servers, workspace.served)
    chosen = next((mirror for mirror in mirrors if mirror.name == served_by and mirror.rewrites), None)
    write_config(
        workspace.git_config,
        served=workspace.served,
        held=[parse_url(one.url) for one in found.held],
        mirror=chosen or next((mirror for mirror in mirrors if mirror.rewrites), None),
        nothing_else=offline,
    )
    archives = _archives([one for one in needed if one.kind == "archive"], request, servers)
    if request.bundle is not None:
        lay_out_archives((one.url for one in archives.held), request.bundle, workspace.served)
    return Downloads(
        found.held,
        (*found.missing, *archives.missing),
        (*declared.notes, *found.notes, *archives.notes),
        archives.held,
    )


def _archives(wanted: Sequence[Declared], request: Request, servers: Servers) -> Archives:
    """Through what upstream's variable would lead CMake to, where a mirror set names it."""
    if not wanted:
        return Archives()
    mirrors = tuple(
        Mirror(one.name, ((f"{GITHUB}/", f"{one.github_mirror.rstrip('/')}/"),))
        for one in request.loaded.mirrors
        if one.github_mirror
    )
    servers = replace(servers, mirrors=(*mirrors, *servers.mirrors), rounds=1)
    return obtain_archives(wanted, servers, Client.of(request.environ))


def lay_out_archives(archives: Iterable[str], bundle: Path, served: Path) -> None:
    """Where GITHUB_MIRROR leads CMake in a build from a bundle; what the bundle lacks will be missed by its name."""
    for url in archives:
        scheme, _, rest = url.partition("://")
        inside, place = bundle / "archives" / archive_name(url), served / scheme / rest
        if inside.is_file() and ".." not in rest.split("/"):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(inside, place)


def _wanted(one: Declared) -> Wanted:
    return Wanted(one.name, one.url, one.tag, one.submodules)
