"""Watching a process tree for progress, and ending all of it.

A hang is no progress: less than one hundredth of a core and less than a page of I/O over the whole stall time, summed
over the tree. A loop that polls with a timeout therefore counts as a hang; a compiler at work never does.
"""

from __future__ import annotations

import os
import re
import signal
import stat as modes
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trtllm_builder.process import Stat, end_group, read_stat

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_CPU = 0.01  # of one core
_IDLE_IO = 4096  # bytes
_END_LIMIT = 5.0  # seconds; a process blocked in the kernel may take longer, and is left
_INTERESTING = re.compile(r"/([^/]*(?:mpi|pmix|nccl|ucp|ucs|nvshmem|libcuda|nvidia-ml|tensorrt_llm)[^/]*\.so[^/]*)$")
_STACK_LIMIT = 1 << 20  # bytes
Ending = Literal["exited", "flood", "hang", "deadline"]


@dataclass
class Tree:
    """A session leader, everything in its session, and every descendant that was ever seen.

    ``adopter`` is a subreaper (see subreaper.py) that starts nothing else meanwhile: whatever is its child and not in
    ``others``, its children from before, by pid and start time, was orphaned in this tree.
    """

    leader: int
    adopter: int | None = None
    others: frozenset[tuple[int, int]] = frozenset()
    # pid -> (start time, last CPU ticks, last I/O bytes); kept after death so that the sums never fall.
    seen: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def sample(self) -> tuple[float, int]:
        """CPU seconds and I/O bytes that the tree has used so far. Between samples a process may come and go unseen."""
        stats = _processes()
        # A parent may have a higher pid than its child once pids have wrapped, hence until nothing is added.
        added = True
        while added:
            added = False
            for pid, stat in stats.items():
                known = self.seen.get(pid)
                if known and known[0] == stat.start:
                    continue
                above, parent = stats.get(stat.parent), self.seen.get(stat.parent)
                child = bool(above and parent and above.start == parent[0])
                orphan = stat.parent == self.adopter and (pid, stat.start) not in self.others
                if pid == self.leader or stat.session == self.leader or child or orphan:
                    self.seen[pid] = (stat.start, stat.cpu, 0)
                    added = True
        for pid, (start, cpu, io) in self.seen.items():
            if (now := stats.get(pid)) and now.start == start:
                self.seen[pid] = (start, max(cpu, now.cpu), max(io, _io(pid)))
        return sum(cpu for _, cpu, _ in self.seen.values()) / _TICKS, sum(io for _, _, io in self.seen.values())

    def alive(self) -> list[int]:
        """The pids seen that are still the same processes and no zombies, the leader first."""
        living = []
        for pid, (start, _, _) in self.seen.items():
            stat = read_stat(pid)
            if stat and stat.start == start and stat.state not in "ZX":
                living.append(pid)
        return sorted(living, key=lambda pid: (pid != self.leader, pid))

    def left_after(self, seconds: float) -> int:
        """How many still live ``seconds`` after now, without waiting longer than for the last one to end."""
        until = time.monotonic() + seconds
        while True:
            self.sample()
            left = len(self.alive())
            if not left or time.monotonic() >= until:
                return left
            time.sleep(0.02)

    def end(self) -> None:
        """Kills the group of the leader and whatever else of the tree still lives; waits until they are gone."""
        self.sample()
        end_group(self.leader, grace=0.5)
        until = time.monotonic() + _END_LIMIT
        while time.monotonic() < until:
            self.sample()  # each death may orphan some more
            left = self.alive()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                break
            time.sleep(0.01)
        self._reap()

    def _reap(self) -> None:
        for pid, (start, _, _) in self.seen.items():
            stat = read_stat(pid)
            if pid != self.leader and stat and stat.start == start and stat.parent == self.adopter:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def children(parent: int) -> frozenset[tuple[int, int]]:
    """The children that ``parent`` has now, by pid and start time."""
    return frozenset((pid, stat.start) for pid, stat in _processes().items() if stat.parent == parent)


def _processes() -> dict[int, Stat]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid: stat for pid in pids if (stat := read_stat(pid))}


def watch(
    child: subprocess.Popen[bytes],
    tree: Tree,
    *,
    stall: float,
    deadline: float,
    phase: Callable[[], str],
    flooded: Callable[[], bool],
) -> Ending:
    """Waits for ``child`` and returns how it ended. It is not killed here.

    ``stall`` seconds without progress are a hang; ``deadline`` seconds are the ceiling of each phase, and a change of
    ``phase()`` is progress too. More output than anyone can want ends it when ``flooded()``.
    """
    entered = moved = time.monotonic()
    cpu, io = tree.sample()
    current = phase()
    while True:
        try:
            child.wait(min(0.2, stall / 10))
            return "flood" if flooded() else "exited"
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if flooded():
            return "flood"
        if (reached := phase()) != current:
            current, entered, moved = reached, now, now
        used_cpu, used_io = tree.sample()
        if used_cpu - cpu >= _IDLE_CPU * stall or used_io - io >= _IDLE_IO:
            cpu, io, moved = used_cpu, used_io, now
        if now - moved >= stall:
            return "hang"
        if now - entered >= deadline:
            return "deadline"


def stacks(tree: Tree, directory: Path, *, wait: float = 2.0) -> str:
    """Python stacks of the leader and of workers that registered for SIGUSR1 (by having a file in ``directory``)."""
    texts = []
    for pid in tree.alive():
        file = directory / f"{pid}.txt"
        if _read_regular(file) is None:
            continue
        try:
            os.kill(pid, signal.SIGUSR1)
        except ProcessLookupError:
            continue
        until = time.monotonic() + wait
        text = ""
        while time.monotonic() < until:
            time.sleep(0.02)
            previous, text = text, _read_regular(file) or ""
            if text and text == previous:
                break
        texts.append(f"process {pid}:\n{text or '(no answer: it is blocked in the kernel, or handles SIGUSR1 itself)'}")
    return "\n".join(texts)


def _read_regular(file: Path) -> str | None:
    """The beginning of a file that others may have replaced: None for a pipe, a link, a directory or nothing."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        regular = modes.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, _STACK_LIMIT).decode("utf-8", "replace") if regular else None
    finally:
        os.close(descriptor)


def mapped_libraries(tree: Tree) -> tuple[str, ...]:
    """Names of mapped libraries that tell one kind of hang from another (MPI, NCCL, the driver)."""
    names = set()
    for pid in tree.alive():
        try:
            maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
        except OSError:
            continue
        names |= {match[1] for line in maps.splitlines() if (match := _INTERESTING.search(line))}
    return tuple(sorted(names))


def _io(pid: int) -> int:
    """Bytes read and written through calls and from disk (proc(5), /proc/PID/io); 0 when it may not be read."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return 0
    wanted = ("rchar:", "wchar:", "read_bytes:", "write_bytes:")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(wanted))
