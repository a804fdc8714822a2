"""What a build took, told to the user's history, from which later plans and estimates are made."""

from __future__ import annotations

import os
import time

from trtllm_builder.build.gauges import Gauges
from trtllm_builder.build.gc.measure import freed, measure
from trtllm_builder.build.run import Run
from trtllm_builder.build.supervisor import Outcome
from trtllm_builder.plan.history import Measured, architectures_of, remember


def note_build(run: Run, gauges: Gauges, outcome: Outcome) -> None:
    """After upstream's build ended well. A history that cannot be written is no reason to lose the build."""
    plan = run.plan
    starts = [event for event in run.journal.events() if event["event"] == "run" and event.get("id") == run.identifier]
    # A run that was resumed, or that found things compiled, says nothing of how long a build takes.
    whole = len(starts) == 1 and gauges.fresh
    build = Measured(
        run=run.identifier,
        ended=time.time(),
        ref=plan.source.ref,
        architectures=architectures_of(run.material.request.loaded.profile),
        jobs=plan.jobs.count,
        seconds=round(time.time() - starts[0]["time"], 1) if whole else None,
        peak_memory=outcome.peak_memory if gauges.fresh else 0,
        workspace=freed([measure(run.workspace.root, os.getuid())]),
    )
    try:
        remember(plan.profile, build, gauges.seconds, run.material.request.environ)
    except OSError as error:
        run.observer.note(f"what this build took is not kept for later plans: {error}")
