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

    ``elapsed`` and ``eta`` (to the last step, None while nothing can be said) in seconds. ``memory`` is what the build
    holds now, ``memory_limit`` what it may, ``disk_free`` what is free where it writes, in bytes, like the peaks so far
    (see Outcome); ``cpu`` is the processors it keeps busy. ``hits`` and ``misses`` are the compile cache's; ``jobs``
    steps run now, ``running`` are the files and seconds of those that run longest; ``waiting`` compilers wait for
    memory. 0 is also "not known".
    """

    phase: str = "requirements"
    done: int = 0
    total: int = 0
    elapsed: float = 0.0
    build_started: float | None = None
    eta: float | None = None
    memory: int = 0
    memory_limit: int = 0
    disk_free: int = 0
    peak_memory: int = 0
    peak_disk: int = 0
    cpu: float = 0.0
    hits: int = 0
    misses: int = 0
    jobs: int = 0
    waiting: int = 0
    running: tuple[tuple[str, float], ...] = ()


def advance(progress: Progress, line: str, elapsed: float) -> Progress:
    """The progress after one more line of output, ``elapsed`` seconds after the start."""
    progress = replace(progress, elapsed=elapsed)
    if match := _NINJA.match(line):
        done, total = int(match[1]), int(match[2])
    elif match := _MAKE.match(line):
        done, total = int(match[1]), 100
    else:
        if _PACKAGING.search(line) and progress.phase == "build":
            return replace(progress, phase="package", eta=None)
        if progress.phase == "requirements" and (line.startswith("-- The ") or _CONFIGURED.match(line)):
            return replace(progress, phase="configure")
        return progress
    started = progress.build_started if progress.phase == "build" else None
    return replace(
        progress,
        phase="build",
        done=done,
        total=total,
        build_started=elapsed if started is None else started,
        eta=progress.eta if done < total else 0.0,
    )
