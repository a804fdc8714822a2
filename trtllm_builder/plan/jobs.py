"""How many compilers at once: cores against memory, and the sum a person can check."""

from __future__ import annotations

from dataclasses import replace

from packaging.version import InvalidVersion, Version

from trtllm_builder.gate.budget import reserve_of
from trtllm_builder.host.cpu import Cpu
from trtllm_builder.host.memory import Memory
from trtllm_builder.plan.model import Jobs, PlannedGate
from trtllm_builder.units import format_size

# The first CMake that includes a file of ours (plan/cmake_file.py).
_INCLUDES = Version("3.24")
# Of a large library; two linkers at once are worth it only where they are no burden.
_LINK_MEMORY = 4 * 2**30
_LINKS = 2


def count_jobs(cpu: Cpu, memory: Memory, *, wanted: int | None, per_job: int, reserve: int | None, origin: str) -> Jobs:
    """``wanted`` as the profile or the command line says it, else what cores and memory allow, never below one.

    ``per_job`` and ``reserve`` in bytes; without ``reserve`` the gate's own stays free (gate/budget.py).
    """
    cores, allowed = cpu.usable, memory.allowed
    cores_source = f"{cpu.affinity} cores for this process" + (
        f", quota {cpu.quota:g} ({cpu.quota_source})" if cpu.quota is not None else ""
    )
    kept = reserve_of(memory) if reserve is None else reserve
    by_memory = max(0, allowed - kept) // per_job
    room = f"{format_size(allowed)} - {format_size(kept)} reserve, {format_size(per_job)} a job"
    sums = f"the lesser of {cores} (cores) and {by_memory} (memory: {room})"
    fitting = max(1, min(cores, by_memory))
    if wanted is None:
        count = fitting
        arithmetic = sums if by_memory else f"{sums}, at least 1"
    else:
        count = wanted
        arithmetic = f"{count} as asked for; auto would give {fitting}: {sums}"
    return Jobs(
        count=count,
        origin=origin,
        cores=cores,
        cores_source=cores_source,
        memory=allowed,
        memory_source=memory.allowed_source,
        reserve=kept,
        per_job=per_job,
        arithmetic=arithmetic,
    )


def plan_gate(jobs: Jobs, *, wanted: int | None, ccache: bool, cmake: str) -> tuple[Jobs, PlannedGate]:
    """The gate (gate/policy.py) instead of ``jobs``, where nobody asked for a number and it can be had; ``jobs`` is
    what runs when nobody answers the compilers. ``cmake`` is the version that configures, "" when it is not known."""
    room = jobs.memory - jobs.reserve
    links = _LINKS if room >= 2 * _LINKS * _LINK_MEMORY else 1
    reason = _no_gate(wanted, ccache, cmake)
    if reason:
        return jobs, PlannedGate(False, reason, jobs.count, jobs.count, links)
    # Who waits costs next to nothing, and the more wait the better one can be found that still fits.
    gate = PlannedGate(True, _REACHED[ccache], 2 * jobs.cores, jobs.count, links)
    return replace(jobs, count=jobs.cores, arithmetic=f"without the gate {jobs.count}: {jobs.arithmetic}"), gate


_REACHED = {
    True: "each compiler starts when memory allows: CCACHE_PREFIX, so that what the cache holds never waits",
    False: "each compiler starts when memory allows: CMake's compiler launchers",
}


def _no_gate(wanted: int | None, ccache: bool, cmake: str) -> str:
    """Why there can be none; "" when there is one."""
    if wanted is not None:
        return f"{wanted} jobs were asked for, and they are run" if wanted > 1 else "1 job was asked for, and it is run"
    try:
        old = bool(cmake) and Version(cmake) < _INCLUDES
    except InvalidVersion:
        old = False
    if old and not ccache:
        return (
            f"CMake {cmake} takes no launchers from us ({_INCLUDES} does), and there is no ccache to reach compilers by"
        )
    return ""
