"""``trtllm-build lock --profile NAME``: every input of a wheel by hash; ``--check`` tells what differs now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtllm_builder.repro.lock import Difference, Lock


def lock(
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Profile to lock: a name, or a path.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it here instead of to standard output.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="LOCK",
            help="Say what differs from this lock now; exit 2 if so. Without --profile: of its own, at its commit.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="LOCK", help="With --check: compare with this lock, not with now."),
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Upstream from this directory or URL.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the profile.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--from-bundle", metavar="FILE", help="Without a network, from what fetch wrote.")
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The lock, or what differs, as one JSON document.")] = False,
) -> None:
    """Write down every input of a wheel by hash; nothing is compiled.

    A build with --locked FILE takes exactly these, wherever and whenever it runs, and gives the same bytes; anything
    else ends it with exit 2, sources that were edited by hand in its workspace too. Its wheel has a build tag of the
    lock in its name and so is not, byte for byte, that of a build without --locked.
    """
    from trtllm_builder.errors import UsageError
    from trtllm_builder.repro.lock import differences, read_lock

    if against is not None and check is None:
        raise UsageError("--against needs --check", remedy="trtllm-build lock --check A --against B")
    if check is not None and against is not None:
        _show_differences(differences(read_lock(check), read_lock(against)), check, as_json)
        return
    locked = read_lock(check) if check else None
    if profile is None and check is None:
        raise UsageError("--profile is missing", remedy="`trtllm-build profiles list` shows them")
    target = out.expanduser().absolute() if out else None
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        raise UsageError(f"--out {out}: not a file in a directory that is there", remedy="name a file")
    made = _make(profile, source, overrides, bundle, profile_dirs, check)
    if locked is not None and check is not None:
        _show_differences(differences(locked, made), check, as_json)
        return
    if target is not None:
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_text(made.render())
        fresh.replace(target)
    if target is None or as_json:
        typer.echo(made.render(), nl=False)
    else:
        typer.echo(f"lock    {target}\n{len(made.inputs)} inputs, sha256 {made.digest}")


def _make(
    profile: str | None,
    source: str | None,
    overrides: list[str] | None,
    bundle: Path | None,
    profile_dirs: list[Path] | None,
    check: Path | None,
) -> Lock:
    from dataclasses import replace

    from trtllm_builder.build.make_lock import make_lock
    from trtllm_builder.cli.lock_view import LockView
    from trtllm_builder.cli.request import make_request

    request = make_request(
        profile=profile or "",
        source=source,
        workspace=None,
        out=Path("dist"),
        overrides=overrides,
        jobs=None,
        profile_dirs=profile_dirs,
        bundle=bundle,
        locked=check if profile is None else None,
    )
    # Its profile is asked what it gives now, and is not held to it.
    return make_lock(replace(request, asked=replace(request.asked, locked=None), locked=None), LockView())


def _show_differences(found: Sequence[Difference], than: Path, as_json: bool) -> None:
    """Raises Exit(2) when there are any."""
    import json
    from dataclasses import asdict

    if as_json:
        typer.echo(
            json.dumps({"schema": 1, "same": not found, "differences": [asdict(one) for one in found]}, indent=1)
        )
    elif not found:
        typer.echo(f"nothing differs from {than}")
    else:
        for one in found:
            typer.echo(str(one))
    if found:
        raise typer.Exit(2)
