"""What can be seen around a build that its log cannot say: kills for memory, limits, room on the disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.gate.job import Killed
from trtllm_builder.host.disk import Disk, probe_disk
from trtllm_builder.host.kills import Kills, read_kills, rise
from trtllm_builder.host.memory import MemoryLimit, read_memory
from trtllm_builder.plan.request import Request
from trtllm_builder.units import format_size


@dataclass(frozen=True)
class Snapshot:
    """``kills`` is whom the kernel has killed for memory so far. ``limit`` is the tightest limit on memory, ``total``
    the machine's memory, in bytes."""

    kills: Kills
    limit: MemoryLimit | None
    total: int

    @property
    def most(self) -> int:
        """Bytes that all processes together may have here."""
        return min(self.limit.limit, self.total) if self.limit else self.total

    @property
    def source(self) -> str:
        """What says so."""
        return self.limit.source if self.limit and self.limit.limit <= self.total else "MemTotal in /proc/meminfo"


def snapshot(root: Path = Path("/")) -> Snapshot:
    memory = read_memory(root)
    return Snapshot(
        kills=read_kills(root),
        limit=min(memory.limits, key=lambda limit: limit.limit, default=None),
        total=memory.total,
    )


@dataclass(frozen=True)
class Jobs:
    """What the build was started with: compilers at a time, where so many were asked for ("--jobs", "build.jobs", ""
    where nobody did), and whether the gate lets each in when memory allows."""

    count: int
    asked: str
    gate: bool


def asked_by(request: Request) -> str:
    """Where so many jobs were asked for."""
    if request.asked.jobs:
        return "--jobs"
    return "" if request.loaded.profile.build.jobs == "auto" else "build.jobs"


@dataclass(frozen=True)
class Evidence:
    """``returncode`` as subprocess gives it. ``killed`` is how many processes the kernel killed for memory during the
    build and ``killed_source`` the counter; None and the reason when that cannot be told. ``alone`` are compilers that
    were killed for memory also when nothing else ran, ``mended`` how many were killed and then tried once more,
    ``lost`` those whose client at the gate was killed.
    ``lowered`` is the limit at the start where that was a higher one. Sizes in bytes."""

    returncode: int | None
    killed: int | None
    killed_source: str
    limit: MemoryLimit | None = None
    total: int = 0
    peak_memory: int = 0
    jobs: Jobs | None = None
    disks: tuple[tuple[str, Disk], ...] = ()
    alone: tuple[Killed, ...] = ()
    mended: int = 0
    lost: tuple[str, ...] = ()
    lowered: int | None = None

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
        if self.mended:
            who = "was a compiler" if self.mended == 1 else "were compilers"
            told.append(f"{self.mended} of them {who} that ran once more with nothing beside.")
        if self.peak_memory:
            told.append(f"The build held {format_size(self.peak_memory)} of memory at its peak.")
        if self.limit is not None and self.limit.limit <= self.total:
            more = f", lowered from {format_size(self.lowered)} while it was built" if self.lowered else ""
            told.append(f"Memory is limited to {format_size(self.limit.limit)} by {self.limit.source}{more}.")
        told += [f"{format_size(disk.free)} are free in {name}." for name, disk in self.disks]
        return tuple(told)


def gather(
    before: Snapshot,
    *,
    returncode: int | None,
    peak_memory: int = 0,
    jobs: Jobs | None = None,
    directories: Iterable[Path] = (),
    alone: tuple[Killed, ...] = (),
    mended: int = 0,
    lost: tuple[str, ...] = (),
    root: Path = Path("/"),
) -> Evidence:
    """What changed since ``before``. ``directories`` are those that the build wrote to."""
    now = snapshot(root)
    seen = rise(before.kills, now.kills)
    disks: dict[int, tuple[str, Disk]] = {}
    for directory in directories:
        try:
            disk = probe_disk(directory)
        except OSError:
            continue
        disks.setdefault(disk.device, (str(directory), disk))
    return Evidence(
        returncode=returncode,
        killed=seen.count,
        killed_source=seen.source,
        limit=now.limit,
        total=now.total,
        peak_memory=peak_memory,
        jobs=jobs,
        disks=tuple(disks.values()),
        alone=alone,
        mended=mended,
        lost=lost,
        lowered=before.most if now.most < before.most else None,
    )
