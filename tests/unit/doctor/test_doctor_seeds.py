"""What the authors of the field reports needed to hear, on their own machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trtllm_builder.doctor.examine import Answer
from trtllm_builder.doctor.facts import CudaToolkit, from_json
from trtllm_builder.doctor.finding import Finding
from trtllm_builder.doctor.graphics import toolkit_findings

Recorded = Callable[[str], Any]


def said(answer: Answer, id: str) -> Finding:
    (found,) = [one for one in answer.findings if one.id == id]
    return found


def failures(answer: Answer) -> set[str]:
    return {one.id for one in answer.findings if one.level == "fail"}


def test_autodl_hears_why_it_hangs_and_that_mpirun_is_a_stop_gap(recorded: Recorded) -> None:
    answer = recorded("autodl").answer()
    assert failures(answer) == {"wheel-mpi"}
    mpi = said(answer, "wheel-mpi")
    assert "hangs at import or at first use" in mpi.what and "libmpi.so.40" in mpi.what
    assert "mpirun -n 1 --allow-run-as-root --bind-to none python PROGRAM" in mpi.remedy
    assert mpi.remedy.endswith("single-device wheel: trtllm-build --profile autodl-4090")
    assert said(answer, "cpu").what.startswith("8 cores by quota") and "128" in said(answer, "cpu").what
    assert "/root/autodl-tmp" in said(answer, "room").what


def test_gpugeek_is_not_sent_to_an_mpirun_that_hangs_too(recorded: Recorded) -> None:
    answer = recorded("gpugeek").answer()
    assert failures(answer) == {"wheel-mpi"}
    mpi = said(answer, "wheel-mpi")
    assert "mpirun is no way out here: it did not come back within 5 s" in mpi.remedy
    assert "PROGRAM" not in mpi.remedy
    assert "trtllm-build --profile gpugeek-multi" in mpi.remedy
    assert said(answer, "shm").level == "ok" and "64.0 MiB" in said(answer, "shm").what


def test_gpugeek_hears_it_without_a_wheel(recorded: Recorded) -> None:
    answer = recorded("gpugeek").answer(wheel=False)
    assert not answer.failed
    mpi = said(answer, "mpi")
    assert mpi.level == "warn" and "MPI_Init was tried" in mpi.what and "no /run/pmix" in mpi.what
    assert "gpugeek-multi" in mpi.remedy


def test_runpod_hears_that_the_driver_decides_and_not_the_image(recorded: Recorded) -> None:
    answer = recorded("runpod").answer()
    assert failures(answer) == {"wheel-driver", "wheel-mpi"}
    driver = said(answer, "wheel-driver")
    assert "CUDA 13" in driver.what and "ends at CUDA 12.8" in driver.what and "libcublasLt.so.13" in driver.what
    assert driver.remedy.endswith("trtllm-build --profile runpod-4090")
    told = said(answer, "driver").what
    assert "any CUDA 11.x or 12.x" in told and "PTX of CUDA 12.8 or older" in told
    assert "no docker" in said(answer, "container").what


def test_runpod_s_newer_toolkit_runs_as_machine_code_and_not_as_ptx(recorded: Recorded) -> None:
    facts = recorded("runpod").facts
    told = toolkit_findings(tuple(CudaToolkit("/t", version) for version in ("12.9.41", "13.0.88")), facts.graphics)
    assert [one.level for one in told] == ["ok", "warn"]
    assert "its machine code runs here, its PTX does not" in told[0].what
    assert "does not run with this machine's driver" in told[1].what


def test_triton_without_gpus_hears_how_to_start_the_container(recorded: Recorded) -> None:
    answer = recorded("triton").answer()
    assert failures(answer) == {"wheel-gpu"}
    assert "libnvidia-ml.so.1" in said(answer, "wheel-gpu").what
    assert "--gpus all" in said(answer, "wheel-gpu").remedy
    assert said(answer, "wheel-mpi").level == "ok"
    alone = recorded("triton").answer(wheel=False)
    assert not alone.failed
    assert "NVML Shared Library Not Found" in said(alone, "gpu").what and "--gpus all" in said(alone, "gpu").remedy


@pytest.mark.parametrize("name", ["autodl", "gpugeek", "runpod", "triton", "h200"])
def test_the_recorded_facts_are_what_the_doctor_prints(
    recorded: Recorded, validate: Callable[[str, object], None], name: str
) -> None:
    record = recorded(name)
    document = record.answer().to_json()
    validate("doctor", document)
    assert from_json(record.facts.to_json()) == record.facts


def test_a_healthy_machine(recorded: Recorded) -> None:
    answer = recorded("h200").answer()
    assert not answer.failed
    assert answer.verdict == "no failures, 1 warning"
    assert {one.id for one in answer.findings if one.level == "warn"} == {"network"}
    lines = answer.lines()
    assert lines[0] == "machine" and lines[-1] == answer.verdict
    assert "  ok       gpu: NVIDIA H200 (compute capability 9.0, 139.8 GiB)" in lines
