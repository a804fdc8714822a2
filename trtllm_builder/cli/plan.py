"""``trtllm-build plan``: what would be done and why, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trtllm_builder.cli.request import make_request

if TYPE_CHECKING:
    from trtllm_builder.plan.request import Request


def plan(
    profile: Annotated[str, typer.Option("--profile", "-p", help="Profile to plan: a name, or a path.")],
    source: Annotated[
        str | None, typer.Option("--source", help="Upstream from this directory or URL instead of the profile's.")
    ] = None,
    format: Annotated[
        Literal["text", "json", "sh"],
        typer.Option("--format", help="sh needs --source DIR, but for the canary."),
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 3 when this host lacks something.")] = False,
    workspace: Annotated[Path | None, typer.Option("--workspace", help="Directory to build in.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the wheel would go.")] = Path("dist"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the profile.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="So many compilers, without gate, retry and learning.")
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
) -> None:
    """Show the plan: arguments, environment, jobs, patches, disk and time, each with its origin. Builds nothing."""
    request = make_request(
        profile=profile,
        source=source,
        workspace=workspace,
        out=out,
        overrides=overrides,
        jobs=jobs,
        profile_dirs=profile_dirs,
    )
    show_plan(request, "json" if as_json else format, check=check)


def show_plan(request: Request, format: str, *, check: bool = False) -> None:
    """Print the plan as text, json or sh; with ``check`` end with what this host lacks."""
    import json
    import sys

    from trtllm_builder.build.prepare import preflight
    from trtllm_builder.errors import UsageError
    from trtllm_builder.plan.make import make_plan
    from trtllm_builder.plan.script import render_script
    from trtllm_builder.plan.show import text_lines
    from trtllm_builder.profile.names import canary_size

    checkout = request.directory
    if format == "sh" and checkout is None and canary_size(request.url) is None:
        raise UsageError(
            "a script needs a checkout, whose patches it embeds",
            remedy="give one with --source DIR (after a build, the workspace's 'source' directory is one)",
        )
    resolved, material = make_plan(request)
    if format == "json":
        typer.echo(json.dumps(resolved.to_json(), indent=2))
    elif material.patches is not None and format == "sh":
        # Bytes as the checkout has them.
        sys.stdout.flush()
        sys.stdout.buffer.write(render_script(resolved, material.patches, checkout).encode("utf-8", "surrogateescape"))
    else:
        for line in text_lines(resolved):
            typer.echo(line)
    if check:
        preflight(resolved)
