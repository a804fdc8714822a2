"""Lines for whoever watches a build: a reader that goes away does not end it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer


def say(text: str = "") -> None:
    """Print a line; when standard output is gone or full, go on in silence."""
    try:
        typer.echo(text)
    except OSError:
        silence()


def silence() -> None:
    """From here on nothing is printed. The descriptor is kept, since Python flushes it once more at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def open_missing_streams() -> None:
    """Give a process started with closed output streams (``>&-``) somewhere to write."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
