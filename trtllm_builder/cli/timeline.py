"""``trtllm-build timeline``: what a build did when, as a page, a trace, a document or a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.runs import AsJson, RunArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtllm_builder.build.timeline import Timeline
    from trtllm_builder.build.timeline_gate import GateView

_SLOWEST = 10
_LARGEST = 5


def timeline(
    run: RunArgument = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the page to this file.")] = None,
    chrome: Annotated[
        Path | None, typer.Option("--chrome", metavar="FILE", help="Write a trace for Perfetto or chrome://tracing.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where the time of a build went, finished or not. Without RUN of the newest.

    Without --html and --chrome both files are written beside the run's logs.
    """
    import json
    import os

    from trtllm_builder.build.journal import Journal
    from trtllm_builder.build.registry import find
    from trtllm_builder.build.timeline import read_timeline
    from trtllm_builder.build.timeline_files import PAGE, TRACE, write_page, write_trace
    from trtllm_builder.errors import UsageError

    entry = find(run, os.environ)
    found = read_timeline(Journal(entry.workspace / "journal.jsonl"), entry.logs, entry.identifier)
    if not found.began:
        raise UsageError(
            f"nothing is left of run {entry.identifier}: {entry.workspace} does not know it",
            remedy="`trtllm-build runs` shows which runs can still be looked at",
        )
    if html is None and chrome is None and not as_json:
        html, chrome = entry.logs / PAGE, entry.logs / TRACE
    for path, write in ((html, write_page), (chrome, write_trace)):
        if path is not None:
            try:
                write(found, path)
            except OSError as error:
                raise UsageError(
                    f"{path} cannot be written: {error.strerror or error}", remedy="name a file that can"
                ) from None
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    for line in _lines(found):
        typer.echo(line)
    for what, path in (("page", html), ("trace", chrome)):
        if path is not None:
            typer.echo(f"{what:<8}{path}")


def _lines(found: Timeline) -> Iterator[str]:
    from trtllm_builder.text import clean
    from trtllm_builder.units import format_duration, format_size

    yield f"run {found.run} of {clean(found.profile)}: {format_duration(found.seconds)}"
    for span in found.stages:
        state = {"done": "", "unfinished": "  so far"}.get(span.state, f"  {span.state}")
        yield f"  {span.name:<14}{format_duration(span.seconds):>12}{state}"
        if span.name == "compile":
            yield from (f"    {p.name:<12}{format_duration(p.seconds):>12}" for p in found.phases_of(span))
    if found.steps:
        hits, calls = found.hits
        cached = f", {hits} of {calls} from the compile cache" if calls else ""
        yield f"{len(found.steps)} build steps, {found.concurrency:.1f} running at once on average{cached}"
    if found.peak_memory:
        limit = f" (limit {format_size(found.memory_limit)}, {clean(found.memory_limit_source)})"
        memory = f"{format_size(found.peak_memory)} of memory{limit if found.memory_limit else ''}"
        yield f"at most {memory} and {format_size(found.peak_disk)} of disk"
    yield from _gate_lines(found.gate)
    if found.steps:
        yield "slowest"
        for step in found.slowest[:_SLOWEST]:
            yield f"  {format_duration(step.seconds):>12}  {clean(step.output)}"


def _gate_lines(gate: GateView) -> Iterator[str]:
    """Budget against use, who waited and why, what was expected and what was taken."""
    from trtllm_builder.text import clean
    from trtllm_builder.units import format_duration, format_size

    if not gate.jobs:
        return
    count = len(gate.jobs)
    lost = "; others got no answer there" if gate.lost else ""
    yield f"{count} compiler{'s' * (count > 1)} at the gate{lost}"
    if gate.points:
        most = max(gate.points, key=lambda point: point.held)
        over = "; some took more than was expected, or one had to be let in" if most.held > most.may else ""
        yield f"  held at most {format_size(most.held)}, when the budget was {format_size(most.may)}{over}"
    for why, seconds in gate.waited.items():
        yield f"  waited {format_duration(seconds)} in all because {why}"
    if gate.kills:
        yield f"  killed for memory {gate.kills} time{'s' * (gate.kills > 1)}"
    yield f"  {'took':>10}{'expected':>12}{'ran':>12}{'waited':>12}"
    for job in gate.largest[:_LARGEST]:
        waited = format_duration(job.waiting) if job.waiting >= 0.1 else ""
        why = f" ({job.told})" if waited and job.told else ""
        yield (
            f"  {format_size(job.peak):>10}{format_size(job.predicted):>12}{format_duration(job.seconds):>12}"
            f"{waited:>12}  {clean(job.source)}{why}"
        )
