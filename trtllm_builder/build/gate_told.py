"""What the gate of a run did, in a few figures and in a sentence: how long compilers waited, and whether they took what
was expected of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
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


def told(found: Mapping[str, Any]) -> str:
    """One sentence; "" when no compiler came to the gate."""
    if not found["compilers"]:
        return ""
    kinds = sorted(found["kinds"].items(), key=lambda one: -one[1]["most"])
    parts = [
        f"{one['count']} {kind} {format_size(one['peak'])} (at most {format_size(one['most'])}, expected "
        f"{format_size(one['predicted'])})"
        for kind, one in kinds
    ]
    more = f"; they waited {format_duration(found['waited'])} in all" if found["waited"] >= 1 else ""
    kills = f"; {found['kills']} times one was killed for memory" if found["kills"] else ""
    return f"memory of compilers, median: {', '.join(parts)}{more}{kills}"
