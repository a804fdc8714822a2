"""``trtllm-build summary``: what ``nightly`` left, of one profile or of all, as Markdown for a CI's page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.nightly import NotifyOption
from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from trtllm_builder.ci.result import Result

ResultFiles = Annotated[
    list[Path], typer.Argument(metavar="RESULT...", help="result.json files, or directories with such in them.")
]
DriftOption = Annotated[
    Path | None,
    typer.Option("--drift", metavar="FILE", help="What `probe --against ROW --json` printed of upstream's main."),
]


ExpectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--expect", metavar="NAME,...", help="Profiles that there must be a result of: one without is lost. Repeatable."
    ),
]


def summary(
    files: ResultFiles,
    expect: ExpectOption = None,
    drift: DriftOption = None,
    notify: NotifyOption = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 6 when a profile has no wheel.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of Markdown.")] = False,
) -> None:
    """Show what was built, what was not and why; tell others with --notify."""
    import json
    import os

    from trtllm_builder.ci.notify import notify as tell
    from trtllm_builder.ci.notify import payload
    from trtllm_builder.ci.summary import markdown
    from trtllm_builder.errors import BuildError

    results = read_results(files, drift, expect)
    say(json.dumps(payload(results), indent=2) if as_json else markdown(results))
    problem = tell(notify, results, os.environ) if notify else None
    if problem:
        typer.echo(f"note: {problem}", err=True)
    if check and not all(one.good for one in results):
        raise typer.Exit(BuildError.exit_code)


def read_results(files: list[Path], drift: Path | None, expect: list[str] | None) -> list[Result]:
    """Sorted by profile; what cannot be read, or was expected and is not there, is lost. Raises UsageError where no
    result can be read and none is expected."""
    from dataclasses import replace

    from trtllm_builder.ci.lost import read_all
    from trtllm_builder.errors import UsageError

    expected = [name.strip() for text in expect or () for name in text.split(",") if name.strip()]
    if expect and not expected:
        raise UsageError("--expect names no profile", remedy="such as --expect h200-ci,canary")
    results = read_all(files, expected)
    changes = None if drift is None else count_changes(drift)
    return results if changes is None else [replace(one, drift=changes) for one in results]


def count_changes(path: Path) -> int:
    """How much upstream changed, as ``probe --against --json`` said it. Raises UsageError for anything else."""
    import json

    from trtllm_builder.errors import UsageError

    try:
        changes = json.loads(path.read_text("utf-8"))["changes"]
        if isinstance(changes, list):
            return len(changes)
        raise ValueError("its changes are no list")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} does not say what changed: {type(error).__name__}",
            remedy="write it with: trtllm-build probe DIR --against main --json",
        ) from None
