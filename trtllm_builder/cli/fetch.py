"""``trtllm-build fetch``: obtain what a build would download, and put it into one file for a machine without a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtllm_builder.build.fetch import Fetched


def fetch(
    profile: Annotated[str, typer.Option("--profile", "-p", help="Profile to fetch for: a name, or a path.")],
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE", help="Write it all into this file, for a build with --from-bundle."),
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="Upstream from this URL, not the profile's.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the profile.")
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Obtain what a build would download: the source, what CMake clones, tools and wheels; nothing is built."""
    import json

    from trtllm_builder.build.fetch import fetch as obtain_all
    from trtllm_builder.cli.output import say
    from trtllm_builder.cli.request import make_request
    from trtllm_builder.text import redact

    request = make_request(
        profile=profile,
        source=source,
        workspace=None,
        out=Path("dist"),
        overrides=overrides,
        jobs=None,
        profile_dirs=profile_dirs,
    )
    target = bundle.expanduser().absolute() if bundle else None

    def log(line: str) -> None:
        typer.echo(redact(line), err=True)

    found = obtain_all(request, target, log)
    if as_json:
        say(redact(json.dumps(_document(found, request.loaded.profile.name, target), indent=2)))
        return
    for line in _lines(found, target):
        say(redact(line))


def _document(found: Fetched, profile: str, target: Path | None) -> dict[str, Any]:
    written = None
    if target is not None and found.manifest is not None:
        written = {
            "path": str(target),
            "size": found.size,
            "digest": found.manifest.digest,
            "parts": len(found.manifest.parts),
        }
    return {"schema": 1, "profile": profile, **found.to_json(), "bundle": written}


def _lines(found: Fetched, target: Path | None) -> Iterator[str]:
    from trtllm_builder.units import format_duration, format_size

    source = found.checkout
    yield f"source        {source.commit[:12]} of {source.url}, from {source.served_by}"
    yield f"submodules    {len(source.submodules)}"
    yield f"LFS objects   {len(source.lfs_objects)}"
    yield f"CMake clones  {', '.join(dict.fromkeys(one.name for one in found.downloads.held)) or 'nothing'}"
    if found.downloads.missing:
        yield f"not obtained  {', '.join(found.downloads.missing)}"
    yield f"tools         {', '.join(found.tools) or 'none of ours'}"
    yield f"wheels        {len(found.wheels)}"
    for note in (*source.notes, *found.downloads.notes):
        yield f"note: {note}"
    if target is not None and found.manifest is not None:
        yield f"bundle        {target}, {format_size(found.size)}, {len(found.manifest.parts)} parts"
    yield f"done in {format_duration(found.seconds)}"
