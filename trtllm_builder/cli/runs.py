"""``trtllm-build runs`` and ``stop``: which builds there were and are, and the end of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trtllm_builder.build.registry import RunEntry
    from trtllm_builder.build.state import RunState

RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Its identifier, how that begins or ends, or a profile's newest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
_SHOWN = 20


def runs(
    everything: Annotated[bool, typer.Option("--all", help="Also older ones, and those that are gone.")] = False,
    as_json: AsJson = False,
) -> None:
    """List builds, the newest first: what state each is in, since when, and where it is."""
    import json
    import os

    from trtllm_builder.build.registry import read_registry
    from trtllm_builder.build.state import run_states
    from trtllm_builder.build.status import run_to_json

    registry = read_registry(os.environ)
    known = list(zip(registry.entries, run_states(registry.entries), strict=True))
    shown = known if everything else [one for one in known if one[1].state != "gone"][:_SHOWN]
    if as_json:
        document = {
            "schema": 1,
            "runs": [run_to_json(entry, state) for entry, state in shown],
            "left_out": len(known) - len(shown),
            "damaged": [{"path": str(one.path), "why": one.why} for one in registry.damaged],
        }
        say(json.dumps(document, indent=2))
        return
    for line in _table(shown):
        say(line)
    if not known:
        say("no run is known here; start one with trtllm-build --profile NAME")
    elif len(shown) < len(known):
        say(f"{len(known) - len(shown)} more with --all")
    for one in registry.damaged:
        say(f"note: {one.path} is damaged and was passed over: {one.why}")


def _table(known: Sequence[tuple[RunEntry, RunState]]) -> list[str]:
    import time
    from pathlib import Path

    from trtllm_builder.text import clean
    from trtllm_builder.units import format_age, format_duration

    if not known:
        return []
    rows = [("RUN", "PROFILE", "STATE", "STAGE", "AGE", "TOOK", "WORKSPACE", "WHEEL")]
    for entry, state in known:
        wheel = ((state.result or {}).get("record") or {}).get("wheel")
        rows.append(
            (
                entry.identifier,
                entry.profile,
                state.state,
                state.stage or "-",
                format_age(time.time() - entry.started),
                format_duration(state.seconds) if state.state != "gone" else "-",
                str(entry.workspace),
                Path(wheel).name if wheel else "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [clean(line).rstrip() for line in lines]


def stop(
    run: RunArgument = None,
    grace: Annotated[
        float, typer.Option("--grace", min=0.0, max=3600.0, help="Seconds until it is killed with all it started.")
    ] = 30.0,
    as_json: AsJson = False,
) -> None:
    """End a running build; what it finished is kept and `trtllm-build resume` goes on from there.

    Without RUN the one that runs. Exit status 0 when it runs no more, also when it had ended before.
    """
    import json
    import os

    from trtllm_builder.build import stop as stopping
    from trtllm_builder.build.state import find_running
    from trtllm_builder.build.status import run_to_json

    entry = find_running(run, os.environ, only=True)
    stopped = stopping.stop(entry, grace=grace)
    if as_json:
        document = {
            "schema": 1,
            "was": stopped.before.state,
            "killed": stopped.killed,
            "run": run_to_json(entry, stopped.after),
        }
        say(json.dumps(document, indent=2))
        return
    if stopped.before.state != "running":
        left = "; what it left running was ended" if stopped.killed else ""
        say(f"run {entry.identifier} did not run any more: {stopped.before.state}{left}")
    else:
        how = " (it did not listen and was killed)" if stopped.killed else ""
        say(f"run {entry.identifier} is stopped{how}")
    if stopped.after.resumable:
        say(f"  trtllm-build resume {entry.identifier} goes on from there")
