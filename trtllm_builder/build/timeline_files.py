"""A run's timeline as files beside its logs: a page to look at, and a trace for Perfetto."""

from __future__ import annotations

import json
from pathlib import Path

from trtllm_builder.build.run import Run
from trtllm_builder.build.timeline import Timeline, read_timeline
from trtllm_builder.build.timeline_html import timeline_page
from trtllm_builder.build.timeline_trace import trace

PAGE, TRACE = "timeline.html", "timeline.trace.json"


def write_page(timeline: Timeline, path: Path) -> None:
    """Raises OSError."""
    path.write_text(timeline_page(timeline), encoding="utf-8", errors="replace")


def write_trace(timeline: Timeline, path: Path) -> None:
    """Raises OSError."""
    path.write_text(json.dumps(trace(timeline), separators=(",", ":")), encoding="utf-8")


def note_timeline(run: Run) -> str:
    """Write both files of a run that goes on; the page's path, empty when the disk does not take it."""
    timeline = read_timeline(run.journal, run.log_directory, run.identifier)
    try:
        write_page(timeline, run.log_directory / PAGE)
        write_trace(timeline, run.log_directory / TRACE)
    except OSError as error:
        run.observer.note(f"the timeline is not kept: {error}")
        return ""
    return str(run.log_directory / PAGE)
