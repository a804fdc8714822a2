"""How many cores this process may use: its affinity and the CPU quota of every cgroup above it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import Level, levels


@dataclass(frozen=True)
class Cpu:
    """``affinity`` counts cores; ``quota`` is in cores too (2.5 means 250 ms of CPU in 100 ms), None when unlimited."""

    affinity: int
    quota: float | None = None
    quota_source: str | None = None

    @property
    def usable(self) -> int:
        """Compilers that can run at full speed, at least one."""
        cores = self.affinity if self.quota is None else min(self.affinity, int(self.quota))
        return max(1, cores)


def read_cpu(root: Path = Path("/"), *, affinity: int | None = None) -> Cpu:
    """``affinity`` is asked of the kernel unless a test gives it."""
    cores = len(os.sched_getaffinity(0)) if affinity is None else affinity
    quotas = [(quota, source) for level in levels("cpu", root) for quota, source in _quota(level)]
    if not quotas:
        return Cpu(cores)
    quota, source = min(quotas)
    return Cpu(cores, quota, source)


def _quota(level: Level) -> list[tuple[float, str]]:
    """The quota in cores: version 1 has two files, version 2 has ``cpu.max`` with ``QUOTA PERIOD``."""
    if level.version == 1:
        quota, period = level.number("cpu.cfs_quota_us"), level.number("cpu.cfs_period_us")
        name = "cpu.cfs_quota_us"
    else:
        words = (level.read("cpu.max") or "max").split()
        quota, period = (int(word) if word.isdigit() else None for word in [*words, "0"][:2])
        name = "cpu.max"
    return [(quota / period, f"{level.shown}/{name}")] if quota and period and quota > 0 else []
