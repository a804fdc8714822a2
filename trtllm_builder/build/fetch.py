"""``fetch``: everything that a build would download, into the caches and, when asked, into one bundle."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtllm_builder import __version__
from trtllm_builder.build.bundle_archive import Manifest, write_bundle
from trtllm_builder.build.bundle_facts import Repository, machine, made_for, toolkit_is_ours
from trtllm_builder.build.downloads import Downloads, obtain_downloads, obtain_source
from trtllm_builder.build.requirements import wanted
from trtllm_builder.build.run import told_as_sentences
from trtllm_builder.build.scratch import scratch_in
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.data import data_dir
from trtllm_builder.errors import HostError, SourceError, UsageError
from trtllm_builder.host.environments import make_environment
from trtllm_builder.plan.make import Material, make_plan, plan_checkout
from trtllm_builder.plan.model import Plan
from trtllm_builder.plan.request import Request
from trtllm_builder.process import run
from trtllm_builder.source.cache import open_cache
from trtllm_builder.source.git import find_git
from trtllm_builder.source.lfs import Store
from trtllm_builder.source.model import Checkout, Log
from trtllm_builder.source.urls import parse_url
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.install import download, install
from trtllm_builder.upstream.fetch_content import not_beforehand

_PIP_DEADLINE = 3600.0


@dataclass(frozen=True)
class Fetched:
    """``size`` is the bundle's, in bytes; ``tools`` are those of ours that the build takes."""

    checkout: Checkout
    downloads: Downloads
    tools: tuple[str, ...]
    wheels: tuple[str, ...]
    manifest: Manifest | None
    size: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        source = self.checkout
        return {
            "source": {"url": source.url, "ref": source.ref, "commit": source.commit, "served_by": source.served_by},
            "submodules": [{"path": path, "commit": commit} for path, commit in source.submodules],
            "lfs_objects": [{"path": path, "sha256": oid} for path, oid in source.lfs_objects],
            **self.downloads.to_json(),
            "notes": [*source.notes, *self.downloads.notes],
            "tools": list(self.tools),
            "wheels": list(self.wheels),
            "seconds": round(self.seconds, 1),
        }


def fetch(request: Request, bundle: Path | None, log: Log) -> Fetched:
    """Obtains it all; raises as the parts do, and UsageError for a source that is only on this machine."""
    began = time.monotonic()
    if request.directory is not None:
        raise UsageError(
            f"--source {request.directory} is on this machine already", remedy="give a URL with --source, or none"
        )
    if bundle is not None and (bundle.is_dir() or not bundle.parent.is_dir() or not os.access(bundle.parent, os.W_OK)):
        why = "is a directory" if bundle.is_dir() else f"{bundle.parent} is no directory that can be written to"
        raise UsageError(f"--bundle {bundle}: {why}", remedy="name a file in a directory of yours")
    with told_as_sentences("fetching"):
        return _fetch(request, bundle, log, began)


def _fetch(request: Request, bundle: Path | None, log: Log, began: float) -> Fetched:
    plan, material = make_plan(request)
    caches = Path(plan.caches)
    tag_cache(caches)
    with scratch_in(caches) as scratch:
        workspace = Workspace(scratch)
        for directory in (workspace.home, workspace.temporary):
            directory.mkdir()
        checkout = obtain_source(request, workspace, caches, log=log)
        # The options are known for certain only now.
        plan, material = plan_checkout(request, workspace.source, commit=checkout.commit or None)
        downloads = obtain_downloads(request, workspace, caches, plan.switches, checkout.served_by, log)
        asked = not_beforehand(workspace.source, [(one.name, one.value) for one in plan.switches])
        downloads = replace(downloads, notes=(*downloads.notes, *asked))
        wheels = workspace.root / "wheels"
        wheels.mkdir()
        tools = _tools(material, request.environ)
        if bundle is None:
            install(tools, data_dir(request.environ), request.environ, log)
        else:
            for name in tools:
                log(f"downloading {name} {TOOLS[name].version}")
                download(name, wheels, data_dir(request.environ), request.environ, log)
        log("downloading the wheels of the build's requirements")
        _requirements(plan, workspace, wheels)
        manifest, size = None, 0
        if bundle is not None:
            files = _files(request, caches, workspace, checkout, downloads, wheels)
            files.parts.update({f"archives/{one.path.name}": one.path for one in downloads.archives})
            facts = {**_facts(request, plan, checkout, downloads, tools, files.archives), "builder": __version__}
            log(f"writing {bundle}")
            facts["repositories"] = [one.to_json() for one in files.repositories]
            manifest = write_bundle(bundle, facts, files.parts)
            size = bundle.stat().st_size
        names = tuple(sorted(one.name for one in wheels.iterdir()))
        return Fetched(checkout, downloads, tuple(tools), names, manifest, size, time.monotonic() - began)


def _tools(material: Material, environ: Mapping[str, str]) -> list[str]:
    """What this machine takes from us: another one, that has no more of its own, will too."""
    ours = data_dir(environ)
    names = [
        tool.name for tool in material.survey.tools if tool.path is None or tool.path.resolve().is_relative_to(ours)
    ]
    return [*names, "cuda13"] if toolkit_is_ours(material) else names


def _requirements(plan: Plan, workspace: Workspace, wheels: Path) -> None:
    """Wheels for the target's Python, those made from sdists here included. Raises HostError."""
    words = wanted(workspace.source)
    if not words:
        return
    world = {setting.name: setting.value for setting in plan.environment}
    world |= {"HOME": str(workspace.home), "TMPDIR": str(workspace.temporary)}
    world["GIT_CONFIG_GLOBAL"] = str(workspace.git_config)
    done = make_environment(Path(plan.python.value), workspace.venv, world)
    if done.ok:
        argv: list[str | Path] = [
            workspace.venv / "bin/python",
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--wheel-dir",
            wheels,
            *words,
        ]
        done = run(argv, env=world, cwd=workspace.source, timeout=_PIP_DEADLINE)
    if not done.ok:
        raise HostError(
            f"the wheels of upstream's requirements could not be had; pip says: {done.last_line}",
            remedy="check that this machine reaches a Python package index, or choose a mirror set in the profile",
        )


@dataclass(frozen=True)
class _Files:
    parts: dict[str, Path]
    repositories: tuple[Repository, ...]
    archives: dict[str, str]


def _files(
    request: Request,
    caches: Path,
    workspace: Workspace,
    checkout: Checkout,
    downloads: Downloads,
    wheels: Path,
) -> _Files:
    """Each member of the bundle, by the name that it has there."""
    parts = {f"wheels/{path.name}": path for path in wheels.iterdir()}
    store = Store(caches / "lfs")
    parts |= {f"lfs/{oid}": store.path(oid) for _, oid in checkout.lfs_objects}
    repositories = tuple(_repositories(checkout, downloads))
    packs = workspace.root / "packs"
    packs.mkdir()
    for one in repositories:
        parts[one.part] = _pack(one, caches, packs, request)
    archives = {}
    profile = request.loaded.profile
    for kind, archive in (("cuda", profile.cuda.archive), ("tensorrt", profile.tensorrt.archive)):
        if archive is not None:
            archives[kind] = f"archives/{kind}-{re.sub(r'[^A-Za-z0-9._+-]', '_', Path(archive).name)}"
            parts[archives[kind]] = Path(archive)
    return _Files(parts, repositories, archives)


def _repositories(checkout: Checkout, downloads: Downloads) -> Iterator[Repository]:
    """Commits by repository: the source, its submodules in the order in which they were served, what CMake clones."""
    urls = [url for url, _ in checkout.served if not url.endswith(" (LFS)")]
    found: dict[str, tuple[list[str], dict[str, str]]] = {}

    def note(url: str, commit: str, ref: str) -> None:
        commits, names = found.setdefault(url, ([], {}))
        if commit not in commits:
            commits.append(commit)
        if ref:
            names[ref] = commit

    for url, commit in zip(urls, [checkout.commit, *(commit for _, commit in checkout.submodules)], strict=True):
        note(url, commit, "")
    note(checkout.url, checkout.commit, checkout.ref)
    for one in downloads.held:
        note(one.url, one.commit, one.ref)
    for url, (commits, names) in sorted(found.items()):
        yield Repository(url, tuple(sorted(commits)), dict(sorted(names.items())))


def _pack(one: Repository, caches: Path, packs: Path, request: Request) -> Path:
    """One pack with the commits, without their history. Raises SourceError."""
    git = find_git(request.environ)
    url = parse_url(one.url)
    with open_cache(caches, url, git, end=time.monotonic() + 600, log=lambda _line: None) as cache:
        # One thread and no deltas of others': equal commits make an equal pack.
        words = ["pack-objects", "--quiet", "--threads=1", "--no-reuse-delta", "--revs", str(packs / url.cache_name)]
        done = run(
            [git.program, "-C", cache.path, *words],
            env=git.environment(),
            input="".join(f"{commit}\n" for commit in one.commits),
            timeout=1800,
        )
    made = sorted(packs.glob(f"{url.cache_name}-*.pack"))
    if not done.ok or len(made) != 1:
        raise SourceError(f"{one.url} could not be packed: {done.last_line}", remedy="run the same command again")
    return made[0]


def _facts(
    request: Request,
    plan: Plan,
    checkout: Checkout,
    downloads: Downloads,
    tools: Iterable[str],
    archives: Mapping[str, str],
) -> dict[str, Any]:
    return {
        **made_for(request),
        "commit": checkout.commit,
        "python": ".".join(plan.python_version.split(".")[:2]),
        "machine": machine(),
        "locks": {name: TOOLS[name].digest for name in tools},
        "archives": dict(archives),
        "not_obtained": list(downloads.missing),
    }
