"""What the build itself would clone, obtained in the fetch stage, and the git configuration that leads it there."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path

from trtllm_builder import canary
from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.plan.request import Request
from trtllm_builder.profile.names import CANARY_URL
from trtllm_builder.source.dependencies import Wanted, obtain_dependencies
from trtllm_builder.source.git import find_git
from trtllm_builder.source.model import Log, Mirror, in_order
from trtllm_builder.source.redirect import write_config
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.urls import parse_url
from trtllm_builder.upstream.fetch_content import Declared, is_switched_off, read_declarations

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


def prepare_downloads(run: Run, served_by: str, log: Log) -> Json:
    """Obtains what the checkout declares and the profile does not switch off, and writes the build's git configuration.

    Whatever could not be had is a note: CMake may never ask for it. ``served_by`` is the mirror that served the source.
    """
    request, workspace = run.material.request, run.workspace
    mirrors = mirrors_of(request)
    declared = read_declarations(workspace.source)
    options = [(option.name, option.value) for option in run.plan.options]
    wanted = [one for one in declared.found if one.kind == "git" and not is_switched_off(one, options)]
    if any(one.url.startswith(canary.BASE) for one in wanted):
        if request.url != CANARY_URL or request.directory is not None:
            canary.serve(workspace.canary)
        mirrors = (canary_stand_in(workspace), *mirrors)
    servers = Servers(find_git(request.environ), Path(run.plan.caches), mirrors, time.monotonic() + _DEADLINE, log)
    shutil.rmtree(workspace.served, ignore_errors=True)
    found = obtain_dependencies([_wanted(one) for one in wanted], servers, workspace.served)
    for note in (*declared.notes, *found.notes):
        run.observer.note(note)
    chosen = next((mirror for mirror in mirrors if mirror.name == served_by and mirror.rewrites), None)
    write_config(
        workspace.git_config,
        served=workspace.served,
        held=[parse_url(one.url) for one in found.held],
        mirror=chosen or next((mirror for mirror in mirrors if mirror.rewrites), None),
    )
    return {"dependencies": [asdict(one) for one in found.held], "not_obtained": list(found.missing)}


def _wanted(one: Declared) -> Wanted:
    return Wanted(one.name, one.url, one.tag, one.submodules)
