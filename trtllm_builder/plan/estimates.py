"""How much disk and time a build will take: ranges, each with where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trtllm_builder.plan.history import Measured, architectures_of, read_history
from trtllm_builder.plan.model import Estimate
from trtllm_builder.plan.request import Request
from trtllm_builder.profile.names import canary_size
from trtllm_builder.upstream.catalogue import Row

_CANARY_DISK = Estimate(
    60 * 10**6, 500 * 10**6, "measured: the workspace alone, and with all of our tools and a toolkit to install"
)
_CANARY_TIME = Estimate(5, 90, "measured on 2 cores: with a warm compile cache, and with everything to install")
_UNKNOWN = Estimate(0, 0, "not known: the catalogue has no row for this ref")


def disk_estimate(request: Request, row: Row | None) -> Estimate:
    """Bytes; 0 to 0 when nothing is known. What earlier builds of this release held counts more than any table."""
    built = [one for one in _built(request) if one.workspace]
    if built:
        sizes = [one.workspace for one in built]
        return Estimate(min(sizes), max(sizes), f"the workspace alone, {_told(built)}")
    if request.directory is None and canary_size(request.url) is not None:
        return _CANARY_DISK
    return Estimate(row.disk.low, row.disk.high, row.disk.source) if row else _UNKNOWN


def time_estimate(request: Request, row: Row | None) -> Estimate:
    """Seconds; 0 to 0 when nothing is known."""
    whole = [one for one in _built(request) if one.seconds]
    if whole:
        taken = [one.seconds or 0.0 for one in whole]
        return Estimate(int(min(taken)), math.ceil(max(taken)), f"to the end of compiling, {_told(whole)}")
    if request.directory is None and (size := canary_size(request.url)) is not None:
        return (
            _CANARY_TIME if not size else Estimate(5, 90 + 4 * size, f"{size} files of 2 s, and what the canary takes")
        )
    return Estimate(row.time.low, row.time.high, row.time.source) if row else _UNKNOWN


def memory_estimate(request: Request) -> Estimate:
    """Bytes that the compilers hold together at their peak; 0 to 0 when no build has measured it. Shown and recorded;
    the number of jobs does not come from it."""
    built = [one for one in _built(request) if one.peak_memory]
    if not built:
        return Estimate(0, 0, "not known: no earlier build has measured it")
    peaks = [one.peak_memory for one in built]
    jobs = sorted({one.jobs for one in built})
    with_jobs = f"{jobs[0]} jobs" if len(jobs) == 1 else f"{jobs[0]} to {jobs[-1]} jobs"
    return Estimate(min(peaks), max(peaks), f"at the peak of a build with {with_jobs}, {_told(built)}")


def _built(request: Request) -> tuple[Measured, ...]:
    """Earlier builds of the profile's release for its GPUs, the last one first."""
    profile = request.loaded.profile
    return read_history(profile.name, request.environ).like(profile.source.ref, architectures_of(profile))


def _told(built: Sequence[Measured]) -> str:
    more = f" and {len(built) - 1} before it" if len(built) > 1 else ""
    return f"{built[0].told}{more}"
