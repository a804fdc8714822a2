"""What is told on standard error while a lock is made: standard output is for the lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trtllm_builder.build.progress import Progress


class LockView:
    """An observer (build/observer.py) of the stages before compiling."""

    def run(self, identifier: str, logs: Path) -> None:
        """A lock is no run that could be resumed."""

    def stage(self, name: str, state: str, detail: str) -> None:
        from trtllm_builder.text import clean, redact

        if state != "begun":
            typer.echo(redact(clean(f"{name:<8} {detail}")), err=True)

    def progress(self, progress: Progress, line: str | None) -> None:
        """Nothing is compiled."""

    def note(self, text: str) -> None:
        from trtllm_builder.text import clean, redact

        typer.echo(redact(clean(f"note: {text}")), err=True)
