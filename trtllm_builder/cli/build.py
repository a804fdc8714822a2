"""``trtllm-build --profile NAME``: the whole way, watched."""

from __future__ import annotations

from pathlib import Path

from trtllm_builder.cli.output import say
from trtllm_builder.cli.request import make_request


def build(
    *,
    profile: str,
    source: str | None,
    workspace: Path | None,
    out: Path,
    overrides: list[str],
    jobs: int | None,
    rebuild: bool,
    as_json: bool,
    profile_dirs: list[Path],
) -> None:
    """Build, show how it goes, and end with the report and where the wheel is."""
    import json

    from trtllm_builder.build import pipeline
    from trtllm_builder.cli.views import choose_view
    from trtllm_builder.units import format_duration

    request = make_request(
        profile=profile,
        source=source,
        workspace=workspace,
        out=out,
        overrides=overrides,
        jobs=jobs,
        profile_dirs=profile_dirs,
    )
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
