"""How many compilers at once: cores against memory, and the sum a person can check."""

from __future__ import annotations

from trtllm_builder.host.cpu import Cpu
from trtllm_builder.host.memory import Memory
from trtllm_builder.plan.model import Jobs
from trtllm_builder.units import format_size

_LEAST_RESERVE = 2 * 2**30


def count_jobs(cpu: Cpu, memory: Memory, *, wanted: int | None, per_job: int, reserve: int | None, origin: str) -> Jobs:
    """``wanted`` as the profile or the command line says it, else what cores and memory allow, never below one.

    ``per_job`` and ``reserve`` in bytes; without ``reserve`` a tenth of the memory, at least 2 GiB, stays free (but
    never more than half of a small machine, which would then build nothing).
    """
    cores, allowed = cpu.usable, memory.allowed
    cores_source = f"{cpu.affinity} cores for this process" + (
        f", quota {cpu.quota:g} ({cpu.quota_source})" if cpu.quota is not None else ""
    )
    kept = min(max(_LEAST_RESERVE, allowed // 10), allowed // 2) if reserve is None else reserve
    by_memory = max(0, allowed - kept) // per_job
    room = f"({format_size(allowed)} - {format_size(kept)} reserve)"
    sums = f"{room} / {format_size(per_job)} a job = {by_memory} by memory; {cores} by cores"
    fitting = max(1, min(cores, by_memory))
    if wanted is None:
        count = fitting
        arithmetic = f"{sums}; the lesser, at least 1, is {count}"
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
