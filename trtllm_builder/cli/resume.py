"""``trtllm-build resume [RUN]``: go on where a run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trtllm_builder.build.observer import Observer
    from trtllm_builder.build.pipeline import Finished


def resume(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run, as `runs` shows it; the newest unfinished one.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Another number of compilers.")] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", help="The run of this workspace, if `runs` does not know it.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on without this terminal once the run has begun; see attach.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
) -> None:
    """Go on with a run that was stopped, killed or failed: nothing that was finished is done again."""
    import os

    from trtllm_builder.build import resume as resuming
    from trtllm_builder.cli.build import watch
    from trtllm_builder.cli.output import say

    entry = resuming.choose(run, os.environ, workspace)

    def work(observer: Observer) -> Finished:
        finished = resuming.resume(entry, observer, dict(os.environ), jobs=jobs)
        if finished.kept and not as_json:
            say(f"run {entry.identifier} ({entry.profile}) is finished; nothing was left to do")
        return finished

    watch(work, as_json=as_json, detach=detach)
