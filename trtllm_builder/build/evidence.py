"""What can be seen around a build that its log cannot say: kills for memory, limits, room on the disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import levels, read_text
from trtllm_builder.host.disk import Disk, probe_disk
from trtllm_builder.host.memory import MemoryLimit, read_memory
from trtllm_builder.units import format_size

_HOST = "oom_kill in /proc/vmstat"


@dataclass(frozen=True)
class Snapshot:
    """``kills`` is how many processes the kernel has killed for memory: of this process's cgroup and every ancestor
    that can be read, by the file that says so, the innermost first; ``host_kills`` of the whole machine, None where it
    does not say. ``limit`` is the tightest limit on memory, ``total`` the machine's memory, in bytes."""

    kills: tuple[tuple[str, int], ...]
    host_kills: int | None
    limit: MemoryLimit | None
    total: int


def snapshot(root: Path = Path("/")) -> Snapshot:
    """Version 2: ``oom_kill`` of memory.events, which counts what is below too. Version 1: memory.oom_control, which
    counts the cgroup's own processes (Linux 4.13 and later). Documentation/admin-guide/cgroup-v1/memory.rst and
    cgroup-v2.rst."""
    kills = []
    for level in levels("memory", root):
        name = "memory.oom_control" if level.version == 1 else "memory.events"
        count = _field(level.read(name), "oom_kill")
        if count is not None:
            kills.append((f"{level.shown}/{name}", count))
    memory = read_memory(root)
    return Snapshot(
        kills=tuple(kills),
        host_kills=_field(read_text(root / "proc/vmstat"), "oom_kill"),
        limit=min(memory.limits, key=lambda limit: limit.limit, default=None),
        total=memory.total,
    )


def _field(text: str | None, name: str) -> int | None:
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return None


@dataclass(frozen=True)
class Jobs:
    """What the build was started with: jobs at a time, and bytes of memory planned for each and kept free."""

    count: int
    per_job: int
    reserve: int


@dataclass(frozen=True)
class Evidence:
    """``returncode`` as subprocess gives it. ``killed`` is how many processes the kernel killed for memory during the
    build and ``killed_source`` the counter; None and the reason when that cannot be told. Sizes in bytes."""

    returncode: int | None
    killed: int | None
    killed_source: str
    limit: MemoryLimit | None = None
    total: int = 0
    peak_memory: int = 0
    jobs: Jobs | None = None
    disks: tuple[tuple[str, Disk], ...] = ()

    @property
    def most_memory(self) -> int:
        """Bytes that the build could have at most."""
        return min(self.limit.limit, self.total) if self.limit and self.total else self.total

    @property
    def full(self) -> tuple[tuple[str, Disk], ...]:
        """Places that have next to nothing left: bytes or inodes."""
        return tuple(
            (name, disk)
            for name, disk in self.disks
            if disk.free < 16 * 2**20 or (disk.free_inodes is not None and disk.free_inodes < 16)
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        told = []
        if self.killed:
            told.append(f"The kernel killed {self.killed} for lack of memory during the build ({self.killed_source}).")
        elif self.killed == 0:
            told.append(f"The kernel killed nothing for lack of memory during the build ({self.killed_source}).")
        else:
            told.append(f"Whether anything was killed for lack of memory could not be seen: {self.killed_source}.")
        if self.peak_memory:
            told.append(f"The build held {format_size(self.peak_memory)} of memory at its peak.")
        if self.limit is not None and self.limit.limit <= self.total:
            told.append(f"Memory is limited to {format_size(self.limit.limit)} by {self.limit.source}.")
        told += [f"{format_size(disk.free)} are free in {name}." for name, disk in self.disks]
        return tuple(told)


def gather(
    before: Snapshot,
    *,
    returncode: int | None,
    peak_memory: int = 0,
    jobs: Jobs | None = None,
    directories: Iterable[Path] = (),
    root: Path = Path("/"),
) -> Evidence:
    """What changed since ``before``. ``directories`` are those that the build wrote to."""
    killed, source = _killed(before, snapshot(root))
    disks: dict[int, tuple[str, Disk]] = {}
    for directory in directories:
        try:
            disk = probe_disk(directory)
        except OSError:
            continue
        disks.setdefault(disk.device, (str(directory), disk))
    return Evidence(
        returncode=returncode,
        killed=killed,
        killed_source=source,
        limit=before.limit,
        total=before.total,
        peak_memory=peak_memory,
        jobs=jobs,
        disks=tuple(disks.values()),
    )


def _killed(before: Snapshot, after: Snapshot) -> tuple[int | None, str]:
    earlier = dict(before.kills)
    rises = [(count - earlier[name], name) for name, count in after.kills if name in earlier]
    risen = [one for one in rises if one[0] > 0]
    if risen:
        count, name = max(risen, key=lambda one: one[0])
        return count, f"oom_kill in {name}"
    known = before.host_kills is not None and after.host_kills is not None
    host = (after.host_kills or 0) - (before.host_kills or 0) if known else 0
    if rises:
        name = rises[0][1]
        # The kernel counts a kill in the killed one's own cgroup, also when the whole machine was out of memory.
        # Version 2 counts it in all above too; version 1 does not, and a compiler may have been put into one below.
        if host and name.endswith("memory.oom_control"):
            return None, f"oom_kill in {name} did not rise and the machine's did, which may be another's"
        return 0, f"oom_kill in {name} did not rise"
    if known:
        return host, _HOST
    return None, "neither a cgroup's oom_kill counter nor the machine's (/proc/vmstat) can be read here"
