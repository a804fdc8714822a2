"""What the gate of a run did, in a few figures and in a line: how long compilers waited, and whether they took what was
expected of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from trtllm_builder.build.timeline_gate import GateJob, read_gate
from trtllm_builder.units import format_duration, format_size


def summary(logs: Path) -> dict[str, Any]:
    """Of all starts of the run whose logs these are. ``predicted`` and ``peak`` of a kind are medians, ``most`` the
    largest peak, in bytes; ``over`` counts those that took more than was expected."""
    view = read_gate(logs, lambda moment: moment)
    kinds: defaultdict[str, list[GateJob]] = defaultdict(list)
    for job in view.jobs:
        if job.status == 0:
            kinds[job.kind].append(job)
    return {
        "compilers": len(view.jobs),
        "waited": round(sum(job.waiting for job in view.jobs), 1),
        "kills": view.kills,
        "kinds": {
            kind: {
                "count": len(jobs),
                "predicted": round(statistics.median(job.predicted for job in jobs)),
                "peak": round(statistics.median(job.peak for job in jobs)),
                "most": max(job.peak for job in jobs),
                "over": sum(job.peak > job.predicted for job in jobs),
            }
            for kind, jobs in sorted(kinds.items())
        },
    }


def told(logs: Path) -> str:
    """One short line of what matters; "" when no compiler came to the gate, which those that the cache has do not. That
    all cores were busy is no news."""
    view = read_gate(logs, lambda moment: moment)
    if not view.jobs:
        return ""
    short = sum(seconds for job in view.jobs for why, seconds in job.waited.items() if why != "slots")
    waited = f"waited {format_duration(short)} for memory" if short >= 1 else "never waited for memory"
    largest = view.largest[0]
    kills = f"; {view.kills} kill{'s' * (view.kills > 1)} for it" if view.kills else ""
    took = f"the largest took {format_size(largest.peak)}, expected {format_size(largest.predicted)}"
    count = len(view.jobs)
    who = f"{count} compiler{'s' * (count > 1)}" + (" (others got no answer at the gate)" if view.lost else "")
    return f"{who} {waited}; {took}{kills}"
