"""How many processes the kernel has killed for lack of memory, by every counter that can be read from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import levels, read_text

_HOST = "oom_kill in /proc/vmstat"


@dataclass(frozen=True)
class Kills:
    """Counters: ``cgroups`` of this process's cgroup and every ancestor that can be read, by the file that says so, the
    innermost first; ``host`` of the whole machine, None where it does not say."""

    cgroups: tuple[tuple[str, int], ...]
    host: int | None


@dataclass(frozen=True)
class Rise:
    """How many were killed between two looks, None when that cannot be told; ``source`` is the counter, or why."""

    count: int | None
    source: str


def read_kills(root: Path = Path("/")) -> Kills:
    """Version 2: ``oom_kill`` of memory.events, which counts what is below too. Version 1: memory.oom_control, which
    counts the cgroup's own processes (Linux 4.13 and later). Documentation/admin-guide/cgroup-v1/memory.rst and
    cgroup-v2.rst."""
    found = []
    for level in levels("memory", root):
        name = "memory.oom_control" if level.version == 1 else "memory.events"
        count = _field(level.read(name))
        if count is not None:
            found.append((f"{level.shown}/{name}", count))
    return Kills(tuple(found), _field(read_text(root / "proc/vmstat")))


def _field(text: str | None) -> int | None:
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "oom_kill" and words[1].isdigit():
            return int(words[1])
    return None


def oom_groups(root: Path = Path("/")) -> tuple[str, ...]:
    """The cgroups around this process of which the kernel ends everything when it kills one process in them for memory
    (``memory.oom.group``, version 2), the innermost first."""
    found = (level for level in levels("memory", root) if level.version == 2 and level.number("memory.oom.group"))
    return tuple(level.shown for level in found)


def rise(before: Kills, after: Kills) -> Rise:
    """What changed from ``before`` to ``after``."""
    earlier = dict(before.cgroups)
    rises = [(count - earlier[name], name) for name, count in after.cgroups if name in earlier]
    risen = [one for one in rises if one[0] > 0]
    if risen:
        count, name = max(risen, key=lambda one: one[0])
        return Rise(count, f"oom_kill in {name}")
    known = before.host is not None and after.host is not None
    host = (after.host or 0) - (before.host or 0) if known else 0
    if rises:
        name = rises[0][1]
        # The kernel counts a kill in the killed one's own cgroup, also when the whole machine was out of memory.
        # Version 2 counts it in all above too; version 1 does not, and a compiler may have been put into one below.
        if host and name.endswith("memory.oom_control"):
            return Rise(None, f"oom_kill in {name} did not rise and the machine's did, which may be another's")
        return Rise(0, f"oom_kill in {name} did not rise")
    if known:
        return Rise(host, _HOST)
    return Rise(None, "neither a cgroup's oom_kill counter nor the machine's (/proc/vmstat) can be read here")
