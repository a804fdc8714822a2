"""diffoscope as another opinion on two wheels that differ, where it is installed. It never changes the verdict.

Its exit status is 0 for the same, 1 for what differs, and 2 for trouble (diffoscope(1), "EXIT STATUS").
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.process import run
from trtllm_builder.units import format_duration

_WITHIN = 900.0  # seconds
_MOST_SHOWN = 20_000  # bytes of its report


def diffoscope(first: Path, second: Path, environ: Mapping[str, str], scratch: Path) -> str:
    """Its report, or a sentence on why there is none; empty where it is not installed. It unpacks in ``scratch``."""
    program = shutil.which("diffoscope", path=environ.get("PATH", ""))
    if program is None:
        return ""
    # How the archive lies on the disk would fill the report before any member came.
    words = [program, "--no-progress", "--exclude-command", "^zipdetails", "--text", "-"]
    words += ["--max-text-report-size", str(_MOST_SHOWN), str(first), str(second)]
    try:
        # What it leaves when it is ended goes too.
        with tempfile.TemporaryDirectory(prefix="diffoscope-", dir=scratch, ignore_cleanup_errors=True) as directory:
            done = run(words, env={**environ, "TMPDIR": directory}, timeout=_WITHIN)
    except OSError as error:
        return f"diffoscope cannot be run: {error.strerror or error}"
    if done.timed_out:
        return f"diffoscope had no answer within {format_duration(_WITHIN)}, and was ended"
    if done.returncode != 1 or done.flooded or not done.stdout.strip():
        return f"diffoscope gave no report (exit status {done.returncode}): {done.last_line}"
    return done.stdout[:_MOST_SHOWN]
