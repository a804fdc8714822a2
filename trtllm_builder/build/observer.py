"""What a build tells whoever watches it. The stages call this; only ``cli/`` turns it into text."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from trtllm_builder.build.progress import Progress


class Observer(Protocol):
    """Three kinds of watcher exist: a live terminal, plain lines, JSON lines."""

    def run(self, identifier: str, logs: Path) -> None:
        """The run has a name and a directory for its logs; from here on it can be resumed."""

    def stage(self, name: str, state: str, detail: str) -> None:
        """``state`` is begun, done or kept (its earlier result still stands)."""

    def progress(self, progress: Progress, line: str | None) -> None:
        """One line of upstream's output, or None once a second."""

    def note(self, text: str) -> None:
        """Something a person should know that ends nothing."""
