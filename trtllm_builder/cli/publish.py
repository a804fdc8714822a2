"""``trtllm-build publish WHEEL... --index DIR|URL``: into an index that pip and uv install from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtllm_builder.publish.rules import Candidate


def publish(
    wheels: Annotated[list[Path], typer.Argument(metavar="WHEEL", help="Wheels, with their records beside them.")],
    index: Annotated[
        str,
        typer.Option(
            "--index",
            metavar="DIR|URL",
            help="A directory for any web server, or a server that takes uploads as PyPI does.",
        ),
    ],
    allow_unimported: Annotated[
        bool, typer.Option("--allow-unimported", help="Also what was audited and never imported; the index shows it.")
    ] = False,
    allow_unverified: Annotated[
        bool,
        typer.Option(
            "--allow-unverified",
            help="Also other projects' wheels, such as ours need (nobody checks that), into every variant's tree; "
            "the index shows it.",
        ),
    ] = False,
    nightly: Annotated[
        bool,
        typer.Option(
            "--nightly",
            help="Nobody holds the locks of these: `index prune` may take them; else what was built --locked stays.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Audit wheels again and publish them: all of them, or none. A name that is there with other bytes is refused.

    What is published needs its record (a build leaves it beside the wheel) and a report of a passed import. A server's
    user and password come from TWINE_USERNAME and TWINE_PASSWORD, or from the keyring. Exit 8 when it is refused.

    A directory holds symbolic links: serve it where it lies, or copy it with `rsync -a`, files/ first and then the rest
    (with `rsync -aL` to a place that knows no links: such a copy can be served, and `index check --repair` makes an
    index of it again where there are links).
    """
    from trtllm_builder.build.signals import interruptible
    from trtllm_builder.errors import Interrupted, UsageError
    from trtllm_builder.index.model import STANDINGS
    from trtllm_builder.index.published import is_url
    from trtllm_builder.publish.rules import Allowed, judge
    from trtllm_builder.publish.upload import require_plain

    if not index.strip():
        raise UsageError("--index is empty", remedy="name a directory, or the URL of a server that takes uploads")
    if is_url(index):
        require_plain(index)
    allowed = Allowed(allow_unimported, allow_unverified)
    try:
        with interruptible():
            candidates = [judge(wheel, allowed) for wheel in wheels]
            done = _upload(candidates, index) if is_url(index) else _add(candidates, Path(index), nightly)
    except Interrupted as stop:
        raise Interrupted(
            stop.what, signal=stop.signal, remedy="nothing is half published; the same command does the rest"
        ) from None
    for candidate, one in zip(candidates, done, strict=True):
        if candidate.local and one["outcome"] != "already there":
            first, *others = candidate.local
            more = f" and {len(others)} more such address{'es' * (len(others) > 1)}" if others else ""
            typer.echo(f"note: what is published with {candidate.filename} tells of {first}{more}", err=True)
    if as_json:
        document = {"schema": 1, "command": "publish", "index": index, "wheels": done}
        typer.echo(json.dumps(document, indent=2))
        return
    for one in done:
        typer.echo(f"{one['outcome']:13}  {one['name']}")
        typer.echo(f"{'':13}  sha256 {one['sha256']}")
        typer.echo(f"{'':13}  {one['location']}")
        if one["standing"] != "verified":
            shown = "which that server does not show" if is_url(index) else "and the index shows it"
            typer.echo(f"{'':13}  {STANDINGS[one['standing']]}, {shown}")


def _add(candidates: Sequence[Candidate], root: Path, nightly: bool) -> list[dict[str, Any]]:
    from trtllm_builder.publish.add import add

    def waiting() -> None:
        typer.echo("somebody else is publishing; waiting", err=True)

    return [
        {
            "name": one.wheel.filename,
            "sha256": one.wheel.sha256,
            "outcome": one.outcome,
            "standing": one.wheel.standing,
            "variant": one.wheel.variant,
            "location": str(root / one.wheel.path),
        }
        for one in add(candidates, root, waiting=waiting, nightly=nightly)
    ]


def _upload(candidates: Sequence[Candidate], url: str) -> list[dict[str, Any]]:
    import os

    from trtllm_builder.index.model import variant_of
    from trtllm_builder.publish.upload import upload

    return [
        {
            "name": candidate.filename,
            "sha256": candidate.sha256,
            "outcome": outcome,
            "standing": candidate.standing,
            "variant": variant_of(candidate.version),
            "location": url,
        }
        for candidate, outcome in upload(candidates, url, os.environ)
    ]
