"""What compilers may take now: read anew for each decision, since others use the machine, and limits change."""

from __future__ import annotations

import re
from pathlib import Path

from trtllm_builder.gate.policy import Budget
from trtllm_builder.host.cgroups import Level, levels, read_text
from trtllm_builder.host.memory import Memory, read_memory

_GIB = 2**30
_PRESSED = 10.0
"""Per cent of the last ten seconds in which some process stalled for memory."""
_SOME = re.compile(r"^some avg10=(\d+(?:\.\d+)?)\b", re.MULTILINE)


def reserve_of(memory: Memory) -> int:
    """Bytes that stay free where nobody says how many: a tenth of a machine that others use too, at least 2 GiB; of a
    cgroup's limit a twentieth, at least half a GiB, below which compilers crawl. Never more than half of all."""
    allowed = memory.allowed
    kept = max(_GIB // 2, allowed // 20) if memory.limited else max(2 * _GIB, allowed // 10)
    return min(kept, allowed // 2)


class BudgetReader:
    """Knows where to read from; called with a moment of a monotonic clock, it reads. ``reserve`` in bytes: what stays
    free as long as no limit is lowered, else so much less.

    It remembers since when the kernel has reported pressure: of the innermost cgroup that tells (version 2,
    memory.pressure), else of the machine (/proc/pressure/memory); Documentation/accounting/psi.rst. Which cgroups this
    process is in is found out once; whoever moves it while it runs is not followed.
    """

    def __init__(self, reserve: int, root: Path = Path("/")) -> None:
        self._reserve = reserve
        self._root = root
        self._levels = levels("memory", root)
        self._most = _most(read_memory(root, self._levels))
        self._pressed_since: float | None = None

    def __call__(self, now: float) -> Budget:
        memory = read_memory(self._root, self._levels)
        if pressure(self._levels, self._root) < _PRESSED:
            self._pressed_since = None
        elif self._pressed_since is None:
            self._pressed_since = now
        return Budget(memory.allowed, self._kept(_most(memory)), self._pressed_since)

    def _kept(self, most: int) -> int:
        """A reserve as large as a lowered limit would keep all compilers out for ever."""
        if most >= self._most:
            return self._reserve
        share = self._reserve * most // self._most
        return min(max(share, min(self._reserve, _GIB // 2)), most // 2)


def _most(memory: Memory) -> int:
    """Bytes that could be taken were nothing in use."""
    return min([memory.total, *(limit.limit for limit in memory.limits)])


def pressure(above: tuple[Level, ...], root: Path = Path("/")) -> float:
    """Per cent; 0 where nobody tells."""
    # The topmost cgroup's file is the machine's again, and a container's own may be its topmost.
    told = next((text for level in above if (text := level.read("memory.pressure"))), None)
    found = _SOME.search(told or read_text(root / "proc/pressure/memory") or "")
    return float(found[1]) if found else 0.0
