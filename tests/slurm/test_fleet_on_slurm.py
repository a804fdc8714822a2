"""Fleets on a real Slurm: a node that dies, a queue that refuses, a cancelled job, a controller gone silent."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import Any

import pytest

from .conftest import NODES, Fleets, wait_for

# Whole builds, one after the other; on two idle cores a quarter of this.
pytestmark = pytest.mark.timeout(600)


def _last(events: list[dict[str, Any]]) -> dict[str, Any]:
    assert events[-1]["event"] == "fleet"
    (job,) = events[-1]["jobs"]
    return dict(job)


def _until(stream: Any, ready: Any) -> dict[str, Any]:
    for line in stream:
        event = json.loads(line)
        if event["event"] == "job" and ready(event):
            return dict(event)
    raise AssertionError("the fleet ended before")


def test_a_node_dies_and_the_build_goes_on_elsewhere(fleets: Fleets) -> None:
    child = fleets.follow(fleets.begin())
    seen = _until(child.stdout, lambda event: event["doing"].startswith("compile: build"))
    first = seen["node"]
    assert first in NODES
    fleets.cluster.kill_node(first)
    out, _ = child.communicate(timeout=400)
    assert child.returncode == 0, out
    job = _last([json.loads(line) for line in out.splitlines()])
    assert job["result"]["result"] == "built"
    assert job["node"] != first
    # One run, gone on with: what was finished before was not done again.
    log = (fleets.shared / "builds" / "small" / "workspace" / "journal.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    assert len({event["id"] for event in events if event["event"] == "run"}) == 1
    assert sum(event["event"] == "begin" and event["stage"] == "patch" for event in events) == 1
    fleets.cluster.start_node(first)
    fleets.cluster.wait_idle(*NODES)


def test_a_queue_that_refuses_is_said_in_its_own_words(fleets: Fleets) -> None:
    job = _last(fleets.run(fleets.begin("--slurm", "partition=nope"), expect=6))
    assert "invalid partition" in job["doing"]
    assert job["result"]["result"] == "died"


def test_a_cancelled_job_is_said_and_gone_on_with(fleets: Fleets) -> None:
    shutil.rmtree(fleets.shared / "builds", ignore_errors=True)
    child = fleets.follow(fleets.begin())
    seen = _until(child.stdout, lambda event: event["doing"].startswith("compile"))
    # Ctrl-C ends the following alone.
    os.kill(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "fleet attach" in out
    assert fleets.cluster.ask("squeue", "-h", "-j", seen["job"], "-o", "%T").strip() == "RUNNING"
    fleets.run(fleets.argv("status"), expect=75)
    fleets.cluster.ask("scancel", seen["job"])
    told = _last(fleets.run(fleets.argv("attach"), expect=6))
    assert told["result"]["result"] == "interrupted"
    assert "cancelled" in told["doing"]
    assert "fleet resume" in told["doing"]
    assert _last(fleets.run(fleets.argv("resume"), expect=0))["result"]["result"] == "built"


def test_a_controller_that_does_not_answer_is_waited_for(fleets: Fleets) -> None:
    child = fleets.follow(fleets.begin())
    _until(child.stdout, lambda event: event["phase"] == "running")
    os.kill(fleets.cluster.daemons["slurmctld"].pid, signal.SIGSTOP)
    try:
        for line in child.stdout or ():
            if json.loads(line)["event"] == "note":
                assert "does not say how jobs fare" in line
                break
    finally:
        os.kill(fleets.cluster.daemons["slurmctld"].pid, signal.SIGCONT)
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    wait_for(lambda: not fleets.cluster.ask("squeue", "-h"), 30)
