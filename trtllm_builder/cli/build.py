"""``trtllm-build --profile NAME``: the whole way, watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from trtllm_builder.plan.request import Request


def build(request: Request, *, rebuild: bool, as_json: bool) -> None:
    """Build, show how it goes, and end with the report and where the wheel is."""
    import json

    from trtllm_builder.build import pipeline
    from trtllm_builder.cli.views import choose_view
    from trtllm_builder.units import format_duration

    with choose_view(as_json) as view:
        finished = pipeline.build(request, view, rebuild=rebuild)
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
