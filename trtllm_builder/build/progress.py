"""What upstream's output says about how far the build is."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

# Ninja's "[12/340] Building ..." and make's "[ 45%] Building ...".
_NINJA = re.compile(r"\[(\d+)/(\d+)\] ")
_MAKE = re.compile(r"\[ *(\d+)%\] ")
_CONFIGURED = re.compile(r"-- (Build files have been written to|Generating done)")
# pypa/build and setuptools announce themselves so.
_PACKAGING = re.compile(r"\* (Building wheel|Getting build dependencies)|running bdist_wheel|creating '?.*\.whl")


@dataclass(frozen=True)
class Progress:
    """``phase`` is requirements, configure, build or package; ``done``/``total`` count build steps, 0 when unknown.

    The peaks so far are in bytes (see Outcome)."""

    phase: str = "requirements"
    done: int = 0
    total: int = 0
    elapsed: float = 0.0
    build_started: float | None = None
    peak_memory: int = 0
    peak_disk: int = 0

    @property
    def eta(self) -> float | None:
        """Seconds to the last step at the mean pace so far; None before a tenth of the steps, when it misleads."""
        if self.phase != "build" or self.build_started is None or self.done * 10 < self.total or not self.done:
            return None
        return (self.elapsed - self.build_started) / self.done * (self.total - self.done)


def advance(progress: Progress, line: str, elapsed: float) -> Progress:
    """The progress after one more line of output, ``elapsed`` seconds after the start."""
    progress = replace(progress, elapsed=elapsed)
    if match := _NINJA.match(line):
        done, total = int(match[1]), int(match[2])
    elif match := _MAKE.match(line):
        done, total = int(match[1]), 100
    else:
        if _PACKAGING.search(line) and progress.phase == "build":
            return replace(progress, phase="package")
        if progress.phase == "requirements" and (line.startswith("-- The ") or _CONFIGURED.match(line)):
            return replace(progress, phase="configure")
        return progress
    started = progress.build_started if progress.phase == "build" else None
    return replace(
        progress, phase="build", done=done, total=total, build_started=elapsed if started is None else started
    )
