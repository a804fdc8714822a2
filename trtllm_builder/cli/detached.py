"""The view of a build that goes on without its terminal: seen until the run has begun, then written to a file."""

from __future__ import annotations

from pathlib import Path

from trtllm_builder.build.detach import Away
from trtllm_builder.build.progress import Progress
from trtllm_builder.cli.output import say
from trtllm_builder.cli.views import JsonView, PlainView


class DetachedView:
    """Plain lines, or JSON ones; from the start of the run on they go to ``console.log`` beside its other logs."""

    def __init__(self, away: Away, as_json: bool) -> None:
        self._away = away
        self._as_json = as_json
        self._view: PlainView | JsonView = JsonView() if as_json else PlainView()

    def run(self, identifier: str, logs: Path) -> None:
        self._view.run(identifier, logs)
        if not self._as_json:
            say("it goes on by itself; this terminal can be closed")
            for doing in ("attach", "status", "stop"):
                say(f"  trtllm-build {doing} {identifier}")
        self._away.let_go(logs / "console.log")

    def stage(self, name: str, state: str, detail: str) -> None:
        self._view.stage(name, state, detail)

    def progress(self, progress: Progress, line: str | None) -> None:
        self._view.progress(progress, line)

    def note(self, text: str) -> None:
        self._view.note(text)
