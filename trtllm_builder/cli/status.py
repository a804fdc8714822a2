"""``trtllm-build status``: one run on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from trtllm_builder.cli.output import say
from trtllm_builder.cli.runs import AsJson, RunArgument

if TYPE_CHECKING:
    from trtllm_builder.build.status import Status

# sysexits.h, EX_TEMPFAIL: not now, ask again.
_RUNNING = 75
# A compiler's command line is no help here.
_WIDEST = 240


def status(run: RunArgument = None, as_json: AsJson = False) -> None:
    """Show what a build does now, how far it is, and what can be done next. Without RUN the newest.

    Exit status: 0 when it is done, 75 while it runs, else that of the build (6 build failed, 143 stopped, ...), 137
    when it died without a word, 3 when its workspace is gone.
    """
    import json
    import os

    from trtllm_builder.build import status as looking
    from trtllm_builder.build.registry import find

    found = looking.status(find(run, os.environ))
    if as_json:
        say(json.dumps({"schema": 1, **found.to_json()}, indent=2))
    else:
        for line in _screen(found):
            say(line)
    code = found.state.exit_code
    raise typer.Exit(_RUNNING if code is None else code)


def _screen(found: Status) -> list[str]:
    import time

    from trtllm_builder.build.status import ending
    from trtllm_builder.cli.views import describe
    from trtllm_builder.text import clean, redact
    from trtllm_builder.units import format_age, format_duration, format_size

    entry, state = found.entry, found.state
    took = "" if state.state == "gone" else f", {format_duration(state.seconds)} of work"
    rows = [
        ("run", f"{entry.identifier}  {entry.profile}"),
        ("state", f"{state.state}{f' in {state.stage}' if state.stage and state.state != 'done' else ''}{took}"),
        ("started", f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(entry.started))}, "
                    f"{format_age(time.time() - entry.started)} ago"),
    ]  # fmt: skip
    if state.state == "running" and state.supervisor:
        rows.append(("process", str(state.supervisor.pid)))
    if found.progress and state.state != "done":
        rows.append(("progress", describe(found.progress)))
    if found.memory is not None:
        peak = f", {format_size(found.progress.peak_memory)} at most" if found.progress else ""
        rows.append(("memory", f"{format_size(found.memory)} now{peak}"))
    if found.disk_free is not None and state.state != "gone":
        taken = f", {format_size(found.progress.peak_disk)} taken" if found.progress else ""
        rows.append(("disk", f"{format_size(found.disk_free)} free{taken}"))
    if found.compiled is not None and found.compiled.told:
        rows.append(("cache", found.compiled.told))
    rows.append(("workspace", str(entry.workspace)))
    if state.state != "gone":
        rows.append(("logs", str(entry.logs)))
    record = (state.result or {}).get("record", {})
    rows += [(name, str(record[name])) for name in ("wheel", "record", "sha256") if name in record]
    lines = [f"{name:<11}{text}" for name, text in rows]
    error = ending(entry, state)
    if error is not None:
        lines += ["", str(error), *([f"  {error.remedy}"] if error.remedy else [])]
        lines += [f"  log: {error.log}"] if error.log else []
    if found.lines:
        lines += ["", f"last lines of {state.stage}:", *(f"  {line}" for line in found.lines)]
    if found.next:
        lines += ["", "next:", *(f"  {command}" for command in found.next)]
    return [redact(clean(line if len(line) <= _WIDEST else f"{line[:_WIDEST]}...")) for line in lines]
