"""``trtllm-build --profile NAME``: the whole way, watched or left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from trtllm_builder.build.observer import Observer
    from trtllm_builder.build.pipeline import Finished
    from trtllm_builder.plan.request import Request


def build(request: Request, *, rebuild: bool, as_json: bool, detach: bool = False) -> None:
    """Build, show how it goes, and end with the report and where the wheel is."""
    from trtllm_builder.build import pipeline

    watch(lambda observer: pipeline.build(request, observer, rebuild=rebuild), as_json=as_json, detach=detach)


def watch(work: Callable[[Observer], Finished], *, as_json: bool, detach: bool = False) -> None:
    """Do ``work`` and show it; with ``detach``, until it has begun."""
    from trtllm_builder.cli.views import choose_view

    if detach:
        from trtllm_builder.build.detach import step_away
        from trtllm_builder.cli.detached import DetachedView

        away = step_away()
        if isinstance(away, int):
            raise typer.Exit(away)
        finished = work(DetachedView(away, as_json))
    else:
        with choose_view(as_json) as view:
            finished = work(view)
    show_finished(finished, as_json=as_json)


def show_finished(finished: Finished, *, as_json: bool) -> None:
    """The report and where the wheel is."""
    import json

    from trtllm_builder.units import format_duration

    if as_json:
        say(json.dumps({"schema": 1, "event": "finished", **finished.to_json()}))
        return
    say("")
    for line in finished.lines:
        say(line)
    say("")
    say(f"wheel   {finished.wheel}")
    say(f"record  {finished.record}")
    say(f"sha256  {finished.sha256}")
    say(f"{'nothing to do' if finished.kept else 'done'} in {format_duration(finished.seconds)}")
