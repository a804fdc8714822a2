"""``trtllm-build rebuild WHEEL|LOCK``: the same inputs once more, and whether they gave the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rebuild(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="WHEEL|LOCK",
            help="A wheel with its lock beside it; or a lock: then the wheel beside it, else the one that was kept "
            "here when it was built from it.",
        ),
    ],
    with_cache: Annotated[
        bool,
        typer.Option(
            "--with-cache/--without-cache",
            help="Take what the compile cache has: quicker, and proves nothing of what comes from it. Else every file "
            "is compiled.",
        ),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="So many compilers, without gate, retry and learning.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", help="Directory to build in; by default one of its own.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the second wheel goes.")] = Path("rebuilt"),
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="The locked profile, where this machine needs other places (--set).")
    ] = "",
    source: Annotated[str | None, typer.Option("--source", help="Upstream from this directory or URL.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of --profile.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Build again from a lock, in a fresh directory, and compare byte by byte. Exit 0 the same, 7 not the same."""
    import json
    import os

    from trtllm_builder.build.rebuild import rebuild as build_again
    from trtllm_builder.cli.lock_view import LockView
    from trtllm_builder.cli.views import choose_view
    from trtllm_builder.errors import VerifyError
    from trtllm_builder.plan.request import Asked
    from trtllm_builder.verify.compare_text import comparison_lines

    asked = Asked(
        profile=profile,
        out=out.expanduser().absolute(),
        source=source,
        workspace=workspace.expanduser().absolute() if workspace else None,
        overrides=tuple(overrides or ()),
        jobs=jobs,
    )
    subject, environ = subject.expanduser().absolute(), dict(os.environ)
    if as_json:
        found = build_again(subject, asked, LockView(), environ, cache=with_cache)
        typer.echo(json.dumps(found.to_json(), indent=2))
        if not found.same:
            raise typer.Exit(VerifyError.exit_code)
        return
    with choose_view(False) as view:
        found = build_again(subject, asked, view, environ, cache=with_cache)
    typer.echo("")
    typer.echo(f"first   {found.original_sha256}  {found.original}")
    typer.echo(f"second  {found.sha256}  {found.wheel}")
    typer.echo(f"built   in {found.workspace}, which stays until `trtllm-build gc`")
    if found.cached:
        plural = "s" * (found.cached > 1)
        typer.echo(f"cache   {found.cached} file{plural} came from the compile cache: no compiler ran for them")
    if found.same:
        typer.echo("the same, byte for byte" + (", but for what was not compiled" if found.cached else ""))
        return
    for line in comparison_lines(found.comparison) if found.comparison else ():
        typer.echo(line)
    if found.second_opinion:
        typer.echo(f"\ndiffoscope says:\n{found.second_opinion}")
    raise VerifyError(
        f"{found.original.name} was built again from its lock, and the bytes differ",
        remedy="what differs stands above; `trtllm-build compare -v` leaves nothing out",
    )
