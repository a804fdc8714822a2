"""``trtllm-build history``: how each profile fared over the last nights, as lines, a document or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.commands import SETTINGS
from trtllm_builder.cli.output import say
from trtllm_builder.cli.summary import DriftOption, ExpectOption, ResultFiles, read_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtllm_builder.ci.history import History

app = typer.Typer(add_completion=False, **SETTINGS)
_NIGHTS = 30
_SIGNS = {"built": "+", "reused": "=", "failed": "F", "interrupted": "i", "died": "D", "lost": "?"}


@app.callback(invoke_without_command=True)
def history(
    context: typer.Context,
    index: Annotated[str, typer.Option("--index", metavar="DIR|URL", help="The index that has the history.")] = ".",
    profiles: Annotated[
        list[str] | None, typer.Option("--profile", "-p", metavar="GLOB", help="Only these profiles.")
    ] = None,
    nights: Annotated[int, typer.Option("--last", min=1, max=10_000, help="Results a profile.")] = _NIGHTS,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page, with plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: a result a line, the oldest first.")] = False,
) -> None:
    """Show how each profile fared: + built, = was there already, F failed, i not finished, D died, ? lost."""
    if context.invoked_subcommand is not None:
        return
    import json

    from trtllm_builder.ci.history import read, selected

    found = selected(read(index), profiles or (), nights)
    if html is not None:
        _write_page(found, html)
    if as_json:
        for one in found.results:
            say(json.dumps(one.to_json()))
        return
    for line in _lines(found):
        say(line)
    if html is not None:
        say(f"page  {html}")


@app.command("add")
def add(
    files: ResultFiles,
    index: Annotated[str, typer.Option("--index", metavar="DIR", help="The index's directory.")],
    expect: ExpectOption = None,
    drift: DriftOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Add what `nightly` left, good or bad, to the history beside an index's wheels."""
    import json

    from trtllm_builder.ci.history import NAME, append
    from trtllm_builder.errors import UsageError

    if not index.strip():
        raise UsageError("--index is empty", remedy="name the index's directory")
    results = read_results(files, drift, expect)
    directory = Path(index).expanduser()
    added = append(directory, results)
    if as_json:
        say(json.dumps({"schema": 1, "history": str(directory / NAME), "added": added, "known": len(results) - added}))
        return
    known = f", {len(results) - added} were there already" if added < len(results) else ""
    say(f"{added} added to {directory / NAME}{known}")
    for one in results:
        if one.result == "lost":
            say(f"{one.profile}: {one.fault}")


def _lines(found: History) -> Iterator[str]:
    import time

    from trtllm_builder.text import clean
    from trtllm_builder.units import format_age, format_duration, format_size

    rows = [("PROFILE", "LAST NIGHTS", "LAST", "AGE", "TOOK", "SIZE", "CACHE", "MEMORY", "DRIFT")]
    faults = []
    for name, results in found.profiles().items():
        last = results[-1]
        calls = (last.hits or 0) + (last.misses or 0)
        rows.append(
            (
                name,
                "".join(_SIGNS[one.result] for one in results[-_NIGHTS:]),
                last.result,
                format_age(time.time() - last.started),
                format_duration(last.seconds) if last.result != "lost" else "-",
                format_size(last.size) if last.size is not None else "-",
                f"{last.hits or 0} of {calls}" if calls else "-",
                format_size(last.peak_memory) if last.peak_memory else "-",
                "-" if last.drift is None else str(last.drift),
            )
        )
        if last.fault:
            faults.append(f"{name}: {last.fault}")
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            yield clean("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()
    else:
        yield "nothing was reported yet; `trtllm-build history add RESULT --index DIR` does it"
    for fault in faults:
        yield clean(fault)
    if found.damaged:
        yield f"note: {found.damaged} lines of the history are damaged and were passed over"


def _write_page(found: History, path: Path) -> None:
    from trtllm_builder.ci.history_page import history_page
    from trtllm_builder.errors import UsageError

    try:
        path.write_text(history_page(found), encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}", remedy="name a file that can"
        ) from None
