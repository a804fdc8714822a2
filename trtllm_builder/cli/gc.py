"""``trtllm-build gc``: what builds left on the disks, and its removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trtllm_builder.build.gc.choose import Choice


def gc(
    workspaces: Annotated[bool, typer.Option("--workspaces", help="Workspaces of runs that are over.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="Repositories and LFS files for later builds.")] = False,
    downloads: Annotated[bool, typer.Option("--downloads", help="Packages that pip fetched.")] = False,
    compile_cache: Annotated[
        bool, typer.Option("--compile-cache", help="Our ccache; one named in build.ccache.dir is yours and stays.")
    ] = False,
    wheels: Annotated[bool, typer.Option("--wheels", help="Copies kept for builds from the same lock.")] = False,
    tools: Annotated[bool, typer.Option("--tools", help="Toolkits and programs no workspace was built with.")] = False,
    runs: Annotated[bool, typer.Option("--runs", help="Logs of all but a workspace's last run; gone runs.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of these kinds.")] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Also workspaces of runs to resume.")] = False,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0.0, help="Only what was not used for so many days.")
    ] = 0.0,
    keep: Annotated[int, typer.Option("--keep", metavar="N", min=0, help="Of each kind keep the ones used last.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove; without it nothing is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Show what builds left on the disks and how much it takes; with --yes remove what was chosen.

    Nothing goes that a running build uses or that no build of ours made. Wheels and records in --out always stay.
    """
    import json
    import os

    from trtllm_builder.build.gc.choose import Wish, carry_out, choose
    from trtllm_builder.build.gc.find import KINDS, Kind
    from trtllm_builder.build.gc.measure import freed
    from trtllm_builder.build.gc.places import look

    flags = (workspaces, sources, downloads, compile_cache, wheels, tools, runs)
    kinds: frozenset[Kind] = frozenset(kind for kind, flag in zip(KINDS, flags, strict=True) if flag or everything)
    wish = Wish(kinds, older_than, keep, unfinished)
    known = look(os.environ)
    removing = yes and bool(kinds)
    choices = carry_out(wish, os.environ) if removing else choose(wish, known)
    total = freed(choice.item.measured for choice in choices)
    going = freed(choice.item.measured for choice in choices if not choice.stays)
    if as_json:
        say(json.dumps(_document(choices, known.foreign, removing, total, going), indent=2))
        return
    for line in _table(choices, removing):
        say(line)
    for path, why in known.foreign.items():
        say(f"note: {path} is left alone: {why}")
    for line in _sum(choices, removing, bool(kinds), total, going):
        say(line)


def _document(
    choices: Sequence[Choice], foreign: Mapping[Path, str], removing: bool, total: int, going: int
) -> dict[str, object]:
    return {
        "schema": 1,
        "removed": removing,
        "bytes": total,
        "freed": going,
        "items": [
            {
                "kind": choice.item.kind,
                "path": str(choice.item.path),
                "detail": choice.item.detail,
                "bytes": _size(choice),
                "used": round(choice.item.used, 3),
                "goes": not choice.stays,
                "stays": choice.stays or None,
            }
            for choice in choices
        ],
        "foreign": [{"path": str(path), "why": why} for path, why in foreign.items()],
    }


def _size(choice: Choice) -> int:
    from trtllm_builder.build.gc.measure import freed

    return freed([choice.item.measured])


def _table(choices: Sequence[Choice], removing: bool) -> list[str]:
    import time

    from trtllm_builder.text import clean
    from trtllm_builder.units import format_age, format_size

    if not choices:
        return []
    gone = "removed" if removing else "goes"
    rows = [("KIND", "SIZE", "USED", "", "WHAT")]
    for choice in choices:
        item = choice.item
        rows.append(
            (
                item.kind,
                format_size(_size(choice)),
                f"{format_age(time.time() - item.used)} ago",
                gone if not choice.stays else "stays",
                item.path.as_posix()
                + (f" ({item.detail})" if item.detail else "")
                + (f": {choice.stays}" if choice.stays else ""),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        clean(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:<{widths[3]}}  {e}").rstrip()
        for a, b, c, d, e in rows
    ]


def _sum(choices: Sequence[Choice], removing: bool, chosen: bool, total: int, going: int) -> list[str]:
    from trtllm_builder.units import format_size

    count = sum(not choice.stays for choice in choices)
    if not choices:
        return ["no build of ours left anything here"]
    if removing:
        return ["", f"{count} of {len(choices)} removed, {format_size(going)} freed"]
    if not chosen:
        return ["", f"{format_size(total)} in all; choose with --workspaces, --tools, ... or --all (see --help)"]
    if not count:
        return ["", f"{format_size(total)} in all; nothing of it goes"]
    return ["", f"{format_size(going)} of {format_size(total)} would go; --yes removes it"]
