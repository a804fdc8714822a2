"""``trtllm-build canary``: our own small upstream, to see within a minute whether a machine can build at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trtllm_builder.cli.request import make_request

_PROFILE = "canary"


def canary(
    size: Annotated[
        int, typer.Option("--size", min=0, max=9999, help="Generate so many kernel files of about 2 s each into it.")
    ] = 0,
    workspace: Annotated[Path | None, typer.Option("--workspace", help="Directory to build in.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the wheel and its record go.")] = Path("dist"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of its profile.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="So many compilers, without gate, retry and learning.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Begin from a clean source and build directory.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on without this terminal once the run has begun; see attach.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and build nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
) -> None:
    """Build the canary's wheel and prove that it works, as `trtllm-build --profile canary` does. The same size is the
    same source for ever: built again with --rebuild in another --workspace, it shows what the compile cache gives."""
    from trtllm_builder.errors import UsageError

    if dry_run and detach:
        raise UsageError("--detach and --dry-run do not go together", remedy="leave out one of them")
    sized = [f"source.url=builtin:canary-{size}"] if size else []
    request = make_request(
        profile=_PROFILE,
        source=None,
        workspace=workspace,
        out=out,
        overrides=[*sized, *(overrides or [])],
        jobs=jobs,
        profile_dirs=None,
    )
    if dry_run:
        from trtllm_builder.cli.plan import show_plan

        show_plan(request, "json" if as_json else "text")
    else:
        from trtllm_builder.cli.build import build

        build(request, rebuild=rebuild, as_json=as_json, detach=detach)
