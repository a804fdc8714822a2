"""``trtllm-build --profile NAME``: the whole way, watched."""

from __future__ import annotations

from pathlib import Path

import typer

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
        typer.echo(json.dumps({"schema": 1, "event": "finished", **finished.to_json()}))
        return
    typer.echo("")
    for line in finished.lines:
        typer.echo(line)
    typer.echo("")
    typer.echo(f"wheel   {finished.wheel}")
    typer.echo(f"record  {finished.record}")
    typer.echo(f"sha256  {finished.sha256}")
    typer.echo(f"{'nothing to do' if finished.kept else 'done'} in {format_duration(finished.seconds)}")
