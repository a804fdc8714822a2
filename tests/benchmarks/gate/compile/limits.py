"""A cgroup with a limit on memory, of version 1 or 2, for one run; needs root and a hierarchy that takes new ones."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import levels


@dataclass(frozen=True)
class Group:
    version: int
    directory: Path

    def join(self) -> None:
        (self.directory / "cgroup.procs").write_text(str(os.getpid()))

    def kills(self) -> int:
        return self._field("memory.events" if self.version == 2 else "memory.oom_control", "oom_kill")

    def peak(self) -> int:
        """The most it held, page cache included, in bytes; 0 where that is not told."""
        return self._number("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")

    def major_faults(self) -> int:
        """Pages that had to be read again: near the limit, the compilers' own code."""
        return self._field("memory.stat", "pgmajfault")

    def stalled(self) -> float:
        """Seconds in which everything stood still for memory; of the whole machine where the group's are not told."""
        own = self.directory / "memory.pressure"
        for path in (own, Path("/proc/pressure/memory")):
            try:
                for line in path.read_text().splitlines():
                    if line.startswith("full "):
                        return int(line.rpartition("total=")[2]) / 1e6
            except (OSError, ValueError):
                continue
        return 0.0

    def end_all(self) -> None:
        for _ in range(50):
            pids = (self.directory / "cgroup.procs").read_text().split()
            others = [int(pid) for pid in pids if int(pid) != os.getpid()]
            if not others:
                return
            for pid in others:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
            time.sleep(0.1)

    def _number(self, name: str) -> int:
        try:
            return int((self.directory / name).read_text())
        except (OSError, ValueError):
            return 0

    def _field(self, name: str, field: str) -> int:
        try:
            lines = (self.directory / name).read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.split()[:1] == [field]), 0)


@contextmanager
def group(name: str, limit: int) -> Iterator[Group]:
    """A fresh cgroup of ``limit`` bytes beside or below ours, without swap; gone at the end. Raises OSError."""
    level = _writable()
    directory = level[1] / name
    directory.mkdir(exist_ok=True)
    try:
        if level[0] == 2:
            (directory / "memory.max").write_text(str(limit))
            _try(directory / "memory.swap.max", "0")
        else:
            (directory / "memory.limit_in_bytes").write_text(str(limit))
            _try(directory / "memory.swappiness", "0")
        yield Group(level[0], directory)
    finally:
        for _ in range(50):
            try:
                directory.rmdir()
                break
            except OSError:
                time.sleep(0.1)


def _writable() -> tuple[int, Path]:
    """Where a group may be made. In version 2 a cgroup with processes can't hand controllers down, so its parent."""
    for level in levels("memory"):
        if level.version == 1:
            return 1, level.directory
        parent = level.directory
        try:
            if "memory" in (parent / "cgroup.subtree_control").read_text().split():
                return 2, parent
            (parent / "cgroup.subtree_control").write_text("+memory")
            return 2, parent
        except OSError:
            continue
    raise OSError("no cgroup for memory can be made here; this needs root and a writable /sys/fs/cgroup")


def _try(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return
