"""``trtllm-build compare A.whl B.whl``: what differs between two wheels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[Path, typer.Argument(help="One wheel.", metavar="A.whl")],
    b: Annotated[Path, typer.Argument(help="The other.", metavar="B.whl")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Leave nothing out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Explain what differs: files, sections, GPU code, symbols, requirements. Exit 0 same bytes, 1 different."""
    from trtllm_builder.verify.compare import compare as compare_wheels
    from trtllm_builder.verify.compare_text import comparison_lines

    found = compare_wheels(a, b)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        for line in comparison_lines(found, verbose=verbose):
            typer.echo(line)
    if not found.identical:
        raise typer.Exit(1)
