"""What a session of processes uses now: memory, processor time, and which compilers run on what.

Read from /proc (proc(5)) once a second for hours, so it must cost next to nothing: a process that once was found to be
somebody else's is not looked at again while it stays.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

from trtllm_builder.gate.held import unshared

_TICKS = os.sysconf("SC_CLK_TCK")
# A number may be given to another process while we look away; after so many looks all are looked at again.
_LOOKS = 120
# Their children are the commands of build steps.
_DRIVERS = frozenset({"ninja", "ninja-build", "make", "gmake"})
_OUTPUT = re.compile(rb"[\0 ]-o[\0 ]([^\0 ]+)")


@dataclass(frozen=True)
class Job:
    """A build step that runs: the file it makes, as its command names it, and for how many seconds it has run."""

    output: str
    seconds: float


@dataclass(frozen=True)
class Usage:
    """``memory`` is the sum of unshared resident bytes; ``cpu`` the processor seconds spent so far, by processes that
    ended as well; ``jobs`` are the longest running first."""

    memory: int
    cpu: float
    jobs: tuple[Job, ...]


@dataclass
class _Step:
    output: str
    since: float


class SessionMeter:
    """Looks at all processes of one session again and again."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._others: set[int] = set()
        self._steps: dict[int, _Step | None] = {}
        self._looks = 0
        self._cpu = 0.0

    def read(self, waiting: Set[int] = frozenset()) -> Usage:
        """Processes that end meanwhile, or that we may not look at, count nothing. Steps of which a process is among
        ``waiting`` have not begun yet."""
        self._looks += 1
        if self._looks % _LOOKS == 0:
            self._others.clear()
        there = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - an iterator costs more
        self._others &= there
        names: dict[int, str] = {}
        parents: dict[int, int] = {}
        memory, ticks = 0, 0
        for pid in there - self._others:
            fields = _stat(pid)
            if fields is None:
                continue
            name, rest = fields
            if int(rest[3]) != self._session:
                self._others.add(pid)
                continue
            # With those of children that were waited for, so that nothing is lost when a compiler ends.
            ticks += sum(map(int, rest[11:15]))
            if rest[0] in "ZX":
                continue
            names[pid], parents[pid] = name, int(rest[1])
            memory += unshared(pid)
        # Orphans take the time of their dead with them: the sum never goes back.
        self._cpu = max(self._cpu, ticks / _TICKS)
        return Usage(memory, self._cpu, self._jobs(names, parents, waiting))

    def _jobs(self, names: dict[int, str], parents: dict[int, int], waiting: Set[int]) -> tuple[Job, ...]:
        now = time.monotonic()
        self._steps = {pid: step for pid, step in self._steps.items() if pid in names}
        for pid, parent in parents.items():
            # A child that still bears its driver's name is about to become something else.
            if names.get(parent) in _DRIVERS and names[pid] not in _DRIVERS and pid not in self._steps:
                output = _output(pid)
                self._steps[pid] = _Step(output, now) if output else None
        idle = {_first_of(pid, self._steps, parents) for pid in waiting}
        for pid in idle & self._steps.keys():
            if (step := self._steps[pid]) is not None:
                step.since = now
        jobs = [Job(step.output, now - step.since) for pid, step in self._steps.items() if step and pid not in idle]
        return tuple(sorted(jobs, key=lambda job: -job.seconds))


def _first_of(pid: int, steps: Collection[int], parents: Mapping[int, int]) -> int:
    """The process that ninja started for a step, of which ``pid`` is one."""
    while pid in parents and pid not in steps:
        pid = parents[pid]
    return pid


def _stat(pid: int) -> tuple[str, list[str]] | None:
    """The command's name and the fields after it in /proc/PID/stat: state, parent, group, session, ..."""
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as stream:  # noqa: PTH123 - the cheapest way, a hundred times a second
            text = stream.read()
    except OSError:
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses.
    before, _, after = text.decode("utf-8", "replace").rpartition(")")
    return before.partition("(")[2], after.split()


def _output(pid: int) -> str:
    """What follows ``-o`` on the process's command line, in words or inside a shell's line; "" when nothing does."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", 0) as stream:  # noqa: PTH123
            match = _OUTPUT.search(stream.read(65536))
    except OSError:
        return ""
    return match[1].decode("utf-8", "replace") if match else ""
