"""A lock without a build: all that a build would take is obtained, by the build's own stages, and written down."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from trtllm_builder.build import inputs, prepare
from trtllm_builder.build.bundle_use import with_bundle
from trtllm_builder.build.observer import Observer
from trtllm_builder.build.pipeline import obtain_inputs
from trtllm_builder.build.run import Run, told_as_sentences
from trtllm_builder.build.signals import interruptible
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.errors import BuilderError
from trtllm_builder.plan.make import make_plan
from trtllm_builder.plan.request import Request
from trtllm_builder.repro.lock import Lock


def make_lock(request: Request, observer: Observer) -> Lock:
    """Raises what the stages of a build raise, up to compiling."""
    with interruptible():
        request = with_bundle(request)
        caches = Path(make_plan(request)[0].caches)
        with told_as_sentences("making a lock"):
            tag_cache(caches)
            # Where gc looks, should we be killed.
            (caches / "workspaces").mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="lock-", dir=caches / "workspaces") as scratch:
                return _make(replace(request, asked=replace(request.asked, workspace=Path(scratch))), observer)


def _make(request: Request, observer: Observer) -> Lock:
    plan, material = make_plan(request)
    for note in plan.notes:
        observer.note(note)
    prepare.preflight(plan)
    workspace = Workspace(Path(plan.workspace.value))
    with workspace.locked() as lock:
        run = Run("lock", plan, material, workspace, lock, observer, rebuild=False)
        try:
            obtain_inputs(run)
        except BuilderError as error:
            # It goes with the directory it is in.
            error.log = None
            raise
        return inputs.run_lock(run)
