"""Whether a plan has a gate, what it then tells upstream's build, and what it says where it has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trtllm_builder.host.cpu import Cpu
from trtllm_builder.host.memory import Memory
from trtllm_builder.plan.jobs import count_jobs, plan_gate
from trtllm_builder.plan.model import Jobs, PlannedGate
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.catalogue import row_for

GIB = 2**30
PROFILE = """\
schema: 1
extends: base/single-device
python: "3.10"
source: {ref: main}
cuda: {architectures: [89], toolkit: ">=13,<14"}
tensorrt: {root: none}
workspace: [cache]
"""


def decide(wanted: int | None = None, ccache: bool = True, cmake: str = "3.30.2") -> tuple[Jobs, PlannedGate]:
    memory = Memory(64 * GIB, 32 * GIB)
    jobs = count_jobs(Cpu(16), memory, wanted=wanted, per_job=6 * GIB, reserve=2 * GIB, origin="o")
    return plan_gate(jobs, wanted=wanted, ccache=ccache, cmake=cmake)


def test_auto_means_all_cores_behind_the_gate_and_the_divisor_without_it() -> None:
    jobs, gate = decide()
    assert gate == PlannedGate(True, gate.reason, queue=32, slots=5, links=2) and "CCACHE_PREFIX" in gate.reason
    assert jobs.count == 16 and jobs.arithmetic == (
        "without the gate 5: the lesser of 16 (cores) and 5 (memory: 32.0 GiB - 2.0 GiB reserve, 6.0 GiB a job)"
    )


def test_a_number_means_that_number() -> None:
    jobs, gate = decide(wanted=7)
    assert (jobs.count, gate.on, gate.queue, gate.slots) == (7, False, 7, 7) and "7 jobs were asked for" in gate.reason
    assert decide(wanted=1)[1].reason == "1 job was asked for, and it is run"


@pytest.mark.parametrize(
    ("ccache", "cmake", "on"),
    [(True, "3.22.1", True), (False, "3.22.1", False), (False, "3.24.0", True), (False, "", True), (False, "?", True)],
)
def test_old_cmake_takes_no_launchers(ccache: bool, cmake: str, on: bool) -> None:
    jobs, gate = decide(ccache=ccache, cmake=cmake)
    assert gate.on is on
    if not on:
        assert "CMake 3.22.1 takes no launchers" in gate.reason and jobs.count == gate.queue == 5


def test_the_plan_says_it_all(make_request: Callable[..., Request], make_survey: Callable[..., Survey]) -> None:
    row = row_for("main")
    assert row is not None

    def plan(jobs: str) -> tuple[str, str, bool]:
        request = make_request(f"{PROFILE}build: {{jobs: {jobs}}}")
        made = resolve(request, make_survey(), row.assumed_probe(), row)
        (job_count,) = (one for one in made.command if "--job_count" in one.words)
        return job_count.words[1], job_count.origin, made.gate.on

    count, origin, on = plan("auto")
    assert on and int(count) > 3 and "wait at the gate" in origin
    assert plan("3")[0] == "3" and not plan("3")[2]
