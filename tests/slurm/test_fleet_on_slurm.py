"""Fleets on a real Slurm: a node dies, a queue refuses, jobs are cancelled or out of time, the controller is silent."""

from __future__ import annotations

import json
import os
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
    fleets.forget_wheels()
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
    fleets.assert_one_run()
    fleets.cluster.start_node(first)
    fleets.cluster.wait_idle(*NODES)


def test_a_queue_that_refuses_is_said_in_its_own_words(fleets: Fleets) -> None:
    job = _last(fleets.run(fleets.begin("--slurm", "partition=nope"), expect=6))
    assert "the cluster refused it: invalid partition specified: nope" in job["doing"]
    # The good build that an earlier fleet left there is not this one's.
    assert (job["result"]["result"], job["result"]["wheel"]) == ("died", None)


def test_a_cancelled_job_is_said_and_gone_on_with(fleets: Fleets) -> None:
    fleets.forget_wheels()
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
    child = fleets.follow(fleets.argv("resume"))
    _until(child.stdout, lambda event: event["doing"].startswith("compile"))
    (ended,) = fleets.run(fleets.argv("cancel"), expect=0)
    assert ended["profiles"] == ["small"]
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 6, out
    assert "fleet resume" in _last([json.loads(line) for line in out.splitlines()])["doing"]
    # A new fleet goes on as well.
    assert _last(fleets.run(fleets.begin(), expect=0))["result"]["result"] == "built"
    fleets.assert_one_run()


def test_a_job_has_what_it_asked_for_and_one_whose_time_is_over_goes_on_in_another(fleets: Fleets) -> None:
    fleets.forget_wheels()
    child = fleets.follow(fleets.begin("--slurm", "partition=short"))
    seen = _until(child.stdout, lambda event: event["doing"].startswith("compile"))
    # Without --time it is the partition's.
    assert fleets.cluster.ask("squeue", "-h", "-j", seen["job"], "-o", "%l").strip() == "1:00:00"
    assert "CPUs=2" in fleets.cluster.ask("scontrol", "show", "step", f"{seen['job']}.0")
    # As Slurm does when a job's time is nearly over.
    fleets.cluster.ask("scancel", "--signal=USR2", seen["job"])
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    events = [json.loads(line) for line in out.splitlines()]
    (note,) = [event["text"] for event in events if event["event"] == "note"]
    assert (
        note == "small: the time that the cluster gives a job was over; submitted again, it goes on from its workspace"
    )
    assert (_last(events)["result"]["result"], _last(events)["attempts"]) == ("built", 2)
    report = fleets.shared / "fleets" / events[-1]["fleet"] / "reports" / "small"
    assert (report / _last(events)["result"]["wheel"]).is_file()
    fleets.assert_one_run()


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
