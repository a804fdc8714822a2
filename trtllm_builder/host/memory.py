"""How much memory a build may still take: the machine's own and every cgroup limit above this process.

A container on a rented machine shows the host's figures in /proc/meminfo; the cgroup's limit is what kills.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import Level, levels, read_text
from trtllm_builder.units import format_size

# Version 1 says "unlimited" with the largest multiple of the page size that a signed 64-bit number holds.
_UNLIMITED = 2**60


@dataclass(frozen=True)
class MemoryLimit:
    """A cgroup's limit in bytes and what is in use there, less the file cache that the kernel can drop at once."""

    source: str
    limit: int
    used_without_cache: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used_without_cache)


@dataclass(frozen=True)
class Memory:
    """Bytes. ``total`` and ``available`` are the machine's (MemTotal, MemAvailable), ``limits`` the cgroups'."""

    total: int
    available: int
    limits: tuple[MemoryLimit, ...] = ()

    @property
    def _tightest(self) -> MemoryLimit | None:
        tightest = min(self.limits, key=lambda limit: limit.left, default=None)
        return tightest if tightest and tightest.left < self.available else None

    @property
    def limited(self) -> bool:
        """Whether a cgroup's limit decides, and not the machine."""
        return self._tightest is not None

    @property
    def allowed(self) -> int:
        """Bytes that may be taken now before something is killed."""
        return self._tightest.left if self._tightest else self.available

    @property
    def allowed_source(self) -> str:
        """The file that decides, and its sum where it is a limit."""
        limit = self._tightest
        if limit is None:
            return "MemAvailable in /proc/meminfo"
        return f"{limit.source}: {format_size(limit.limit)}, {format_size(limit.used_without_cache)} in use"


def read_memory(root: Path = Path("/"), above: tuple[Level, ...] | None = None) -> Memory:
    """Reads /proc/meminfo (proc(5), in KiB) and the cgroups: ``above`` where the caller has looked for them already,
    which is most of the work. Without MemAvailable, MemFree and the caches count."""
    meminfo: dict[str, int] = {}
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdigit():
            meminfo[name] = int(number[0]) * 1024
    fallback = sum(meminfo.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    return Memory(
        total=meminfo.get("MemTotal", 0),
        available=meminfo.get("MemAvailable", fallback),
        limits=tuple(
            limit for level in (levels("memory", root) if above is None else above) for limit in _limits(level)
        ),
    )


def _limits(level: Level) -> list[MemoryLimit]:
    names = ("memory.limit_in_bytes",) if level.version == 1 else ("memory.max", "memory.high")
    usage = level.number("memory.usage_in_bytes" if level.version == 1 else "memory.current") or 0
    stat = _stat(level)
    # Version 1 counts children in usage and under total_* only.
    used = max(0, usage - stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    found = [(f"{level.shown}/{name}", level.number(name)) for name in names]
    # Version 1 tells the tightest limit of the ancestors too, even of those a container cannot see.
    found.append((f"{level.shown}/memory.stat hierarchical_memory_limit", stat.get("hierarchical_memory_limit")))
    own = [limit for _, limit in found[:-1]]
    return [
        MemoryLimit(source, limit, used)
        for source, limit in found
        if limit is not None and limit < _UNLIMITED and not (source.endswith("_limit") and limit in own)
    ]


def _stat(level: Level) -> dict[str, int]:
    pairs = (line.split() for line in (level.read("memory.stat") or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
