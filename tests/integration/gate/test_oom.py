"""Real kills by the kernel, in a memory cgroup: run once more alone, given up when it is killed again, and nothing else
is ever taken for it."""

from __future__ import annotations

import os
from typing import Any

import pytest

from trtllm_builder.build.diagnosis.engine import diagnose
from trtllm_builder.build.evidence import Evidence
from trtllm_builder.gate.job import Killed
from trtllm_builder.host.memory import MemoryLimit

pytestmark = pytest.mark.integration
MIB = 2**20


def test_compilers_that_do_not_fit_together_are_run_again_one_by_one(gated: Any, cgroup: Any) -> None:
    """Three that are expected to take next to nothing take more than the limit together."""
    cgroup.limit(600)
    for _ in range(3):
        gated.step(250, 1.0, "driver")
    told = gated.run(reserve=0, expected=10 * MIB, enter=cgroup.enter)
    assert told["status"] == 0 and told["again"] >= 1 and told["killed"] == []
    assert "Killed" not in gated.log and gated.made == {"s0", "s1", "s2"}
    killed = gated.kinds("killed")
    assert killed and all(event["again"] and cgroup.directory.name in event["counter"] for event in killed)
    seconds = [event for event in gated.kinds("started") if event["attempt"] == 2]
    held = {event["job"]: event["peak"] for event in killed}
    assert all(event["predicted"] == max(20 * MIB, held[event["job"]]) for event in seconds)
    assert max(held.values()) > 100 * MIB, "known better than what was foreseen"
    # Alone: the one before had ended when the next one began.
    order = [(e["event"], e["job"]) for e in gated.events if e["event"] in ("started", "ended")]
    for event in seconds:
        at = max(n for n, one in enumerate(order) if one == ("started", event["job"]))
        begun = {job for kind, job in order[:at] if kind == "started" and job != event["job"]}
        assert begun <= {job for kind, job in order[:at] if kind == "ended"} | {e["job"] for e in seconds}


def test_one_that_does_not_fit_alone_ends_the_build_by_name(gated: Any, cgroup: Any) -> None:
    cgroup.limit(300)
    gated.step(500, 0.1, "driver", name="giant")
    gated.step(10, 0.1)
    told = gated.run(reserve=0, expected=10 * MIB, enter=cgroup.enter)
    assert told["status"] != 0 and told["again"] == 1 and gated.made == {"s1"}
    (killed,) = told["killed"]
    assert killed["name"] == "giant.o" and cgroup.directory.name in killed["counter"]
    assert 150 * MIB < killed["peak"] < 320 * MIB, "as much as it got"
    assert told["counted"] == 2 and gated.log.count("Killed") == 1
    limit = MemoryLimit("/sys/fs/cgroup/memory.max", 300 * MIB, 0)
    evidence = Evidence(1, told["counted"], killed["counter"], limit, 2**34, alone=(Killed(**killed),), mended=1)
    first = diagnose(list(enumerate(gated.log.splitlines(), 1)), evidence).first
    assert first.id == "out-of-memory" and "giant.o" in first.sentence and "twice" in first.sentence
    assert "300.0 MiB (/sys/fs/cgroup/memory.max)" in first.sentence and "gives the build 1 GiB" in first.remedy


def test_a_crash_is_a_crash_and_a_kill_by_somebody_is_not_for_memory(gated: Any, cgroup: Any, until: Any) -> None:
    cgroup.limit(1000)
    gated.step(10, 0.1, "crash", name="crashed")
    gated.step(10, 5, "", name="struck")
    child = gated.begin(reserve=0, expected=10 * MIB, enter=cgroup.enter)
    until(lambda: len(gated.living()) == 1 and gated.kinds("ended"))
    os.kill(gated.living()[0], 9)
    out, _ = child.communicate(timeout=30)
    assert '"again": 0, "killed": []' in out and gated.made == set()
    statuses = {event["source"]: event["status"] for event in gated.kinds("ended")}
    assert statuses == {"crashed.o": -11, "struck.o": -9} and not gated.kinds("killed")
