"""``trtllm-build logs`` and ``attach``: what a build wrote and writes, as lines or as the view of the build itself."""

from __future__ import annotations

from typing import Annotated

import typer

from trtllm_builder.cli.output import say
from trtllm_builder.cli.runs import AsJson, RunArgument

# What `logs -f` shows of the past, when nobody says how much.
_PAST = 20


def logs(
    run: RunArgument = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the run ends, and end with its exit status.")
    ] = False,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Only this log: tools, fetch, compile, console, ...")
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, help="Only the last ones; all, and with -f 20.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the logs of a build, in the order of its stages. Without RUN of the newest."""
    import json
    import os

    from trtllm_builder.build.logs import follow_logs, read_logs
    from trtllm_builder.build.registry import find
    from trtllm_builder.build.state import run_state
    from trtllm_builder.build.status import ending

    entry = find(run, os.environ)
    told = follow_logs(entry, stage, _PAST if lines is None else lines) if follow else read_logs(entry, stage, lines)
    shown = ""
    for line in told:
        if as_json:
            typer.echo(json.dumps({"schema": 1, "event": "line", "log": line.log, "text": line.text}))
            continue
        if stage is None and line.log != shown:
            typer.echo(f"==> {line.log} <==")
            shown = line.log
        typer.echo(line.text)
    if follow:
        error = ending(entry, run_state(entry))
        if error is not None:
            raise error


def attach(run: RunArgument = None, as_json: AsJson = False) -> None:
    """Watch a build that was started elsewhere or left to itself, as if it had been started here.

    Ctrl-C ends the watching and not the build. Ends with the exit status of the build. Without RUN the one that runs,
    or the newest.
    """
    import os

    from trtllm_builder.build.events import follow, replay
    from trtllm_builder.build.state import find_running, run_state
    from trtllm_builder.build.status import ending, finished
    from trtllm_builder.cli.build import show_finished
    from trtllm_builder.cli.views import choose_view

    entry = find_running(run, os.environ)
    try:
        with choose_view(as_json) as view:
            for event in follow(entry):
                replay(event, view)
    except KeyboardInterrupt:
        if run_state(entry).state == "running":
            say(f"detached; run {entry.identifier} goes on (trtllm-build stop {entry.identifier} would end it)")
        raise
    state = run_state(entry)
    error = ending(entry, state)
    if error is not None:
        raise error
    show_finished(finished(state), as_json=as_json)
