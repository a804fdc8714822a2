"""One judgement at a time, on a healthy machine with one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from trtllm_builder.doctor.cure import Candidate, cure
from trtllm_builder.doctor.examine import examine
from trtllm_builder.doctor.facts import Command, CompileCache, Facts, Graphics, Mpi, Program, Reach
from trtllm_builder.doctor.finding import Finding
from trtllm_builder.doctor.graphics import graphics_findings
from trtllm_builder.doctor.machine import machine_findings, system_findings
from trtllm_builder.doctor.mpi import mpi_findings
from trtllm_builder.doctor.programs import (
    cache_finding,
    command_findings,
    interpreter_findings,
    network_findings,
    prerequisite_findings,
    program_findings,
)
from trtllm_builder.doctor.serving import wheel_findings
from trtllm_builder.doctor.wheels import GpuCode, WheelFacts
from trtllm_builder.errors import HostError, VerifyError
from trtllm_builder.host.driver import CudaDriver
from trtllm_builder.host.gpu import Driver, Gpu, driver_cuda, driver_majors

H200 = Gpu("NVIDIA H200", "9.0", 2**37)
WORKS = CudaDriver(True, True, "13.0", devices=(H200,))
WHEEL = WheelFacts(
    name="a.whl",
    pythons=("3.12",),
    machines=("x86_64",),
    cuda=13,
    glibc="2.28",
    code=(GpuCode("tensorrt_llm/libs/libtensorrt_llm.so", ("sm_90a",)), GpuCode("extra.so", ("sm_80",))),
    mpi=(),
    python="/usr/bin/python3.12",
)


@pytest.fixture
def facts(recorded: Callable[[str], Any]) -> Facts:
    found: Facts = recorded("h200").facts
    return found


def only(findings: list[Finding], id: str) -> Finding:
    (found,) = [one for one in findings if one.id == id]
    return found


def test_a_kill_of_the_whole_group_is_told(facts: Facts) -> None:
    machine = facts.machine
    assert machine
    found = only(machine_findings(replace(machine, oom_groups=("/sys/fs/cgroup",))), "oom-group")
    assert found.level == "warn" and "memory.oom.group is set in /sys/fs/cgroup" in found.what


def test_shared_memory_that_is_missing_or_closed(facts: Facts) -> None:
    machine = facts.machine
    assert machine and machine.shm
    closed = replace(machine.shm, writable=False)
    for shm in (None, closed):
        assert only(machine_findings(replace(machine, shm=shm)), "shm").level == "fail"


def test_disks_that_are_full_closed_or_out_of_inodes(facts: Facts) -> None:
    machine = facts.machine
    assert machine
    place = machine.places[0]
    for change, told in (
        ({"free": 1}, "nearly full"),
        ({"writable": False}, "cannot be written to"),
        ({"free_inodes": 5}, "5 inodes left"),
    ):
        worse = replace(place, disk=replace(place.disk, **change))  # type: ignore[arg-type]
        findings = machine_findings(replace(machine, places=(worse,)))
        found = only(findings, "disk")
        assert found.level == "warn" and told in found.what
    none = replace(machine, places=(replace(place, disk=replace(place.disk, writable=False)),))
    assert only(machine_findings(none), "room").level == "fail"


@pytest.mark.parametrize(("glibc", "level"), [(None, "fail"), ("2.27", "warn"), ("2.28", "ok"), ("2.39", "ok")])
def test_the_c_library(facts: Facts, glibc: str | None, level: str) -> None:
    assert facts.system
    assert only(system_findings(replace(facts.system, glibc=glibc), "6.1"), "glibc").level == level


@pytest.mark.parametrize(
    ("graphics", "id", "level", "told"),
    [
        (Graphics(nodes=("/dev/nvidia0",)), "driver", "fail", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
        (Graphics(cuda=replace(WORKS, nvml=False)), "nvml", "warn", "libnvidia-ml.so.1 is missing"),
        (Graphics(cuda=CudaDriver(True, True, None, True, "stub")), "gpu", "warn", "a toolkit's stub"),
        (Graphics(cuda=CudaDriver(True, True, "12.8", error="the driver did not answer")), "gpu", "fail", "did not"),
        (Graphics(cuda=CudaDriver(True, True, "13.0", error="NO_DEVICE"), visible=""), "gpu", "warn", "unset CUDA_"),
        (Graphics(), "gpu", "warn", "--gpus all"),
        (Graphics(cuda=WORKS), "driver", "ok", "11.x or 12.x or 13.x"),
    ],
)
def test_gpus_and_drivers(graphics: Graphics, id: str, level: str, told: str) -> None:
    found = only(graphics_findings(graphics), id)
    assert found.level == level
    assert told in found.what + found.remedy


def test_what_a_driver_knows() -> None:
    assert [driver_cuda(text) for text in ("570.195.03", "535.1", "400.1", "x", "999")] == [
        *("12.8", "12.2", None, None, "13.1"),
    ]
    assert driver_majors("12.8") == (11, 12)


@pytest.mark.parametrize(
    ("mpi", "container", "level", "told"),
    [
        (Mpi(initialised=0.2, libraries=("libmpi.so.40",)), True, "ok", "MPI starts here"),
        (Mpi(launched_by="PMI_RANK"), True, "ok", "PMI_RANK"),
        (Mpi(init_why="it did not come back", libraries=("libmpi.so.40",)), False, "warn", "MPI_Init was tried"),
        (Mpi(), False, "ok", "A single-device wheel needs none"),
        (Mpi(manager=True), True, "ok", "/run/pmix is here"),
    ],
)
def test_mpi(mpi: Mpi, container: bool, level: str, told: str) -> None:
    (found,) = mpi_findings(mpi, container=container, cure="cure")
    assert found.level == level
    assert told in found.what


@pytest.mark.parametrize(
    ("change", "id", "level", "told"),
    [
        ({}, "wheel-code", "ok", "sm_90a"),
        ({"python": None}, "wheel-python", "fail", "uv python install 3.12"),
        ({"machines": ("aarch64",)}, "wheel-machine", "fail", "aarch64"),
        ({"glibc": "2.40"}, "wheel-glibc", "fail", "GLIBC_2.40"),
        ({"cuda": 14}, "wheel-driver", "fail", "libcublasLt.so.14"),
        ({"optional": ("libhipblas.so.2",)}, "wheel-libraries", "warn", "libhipblas.so.2"),
        ({"mpi": ("mpi4py",)}, "wheel-libraries", "ok", "apart from MPI"),
        ({"missing": ("libnuma.so.1",)}, "wheel-libraries", "fail", "libnuma.so.1"),
        ({"code": (GpuCode("a.so", ("sm_89",)),)}, "wheel-code", "fail", "no kernel image is available"),
        ({"code": (GpuCode("a.so", ("sm_100f",), ("compute_90a",)),)}, "wheel-code", "fail", "no kernel image"),
        ({"code": (GpuCode("a.so", ("sm_80",), ("compute_80",)),)}, "wheel-code", "warn", "only PTX"),
        ({"code": ()}, "wheel-code", "ok", "no GPU code"),
        ({"mpi": ("libmpi.so.40",)}, "wheel-mpi", "fail", "there is no mpirun"),
    ],
)
def test_wheels(facts: Facts, change: dict[str, Any], id: str, level: str, told: str) -> None:
    mpi = Mpi(libraries=("libmpi.so.40",), init_why="it did not come back")
    found = only(wheel_findings(replace(WHEEL, **change), replace(facts, mpi=mpi), "cure"), id)
    assert found.level == level, found
    assert told in found.what + found.remedy


def test_a_wheel_without_a_gpu_here(facts: Facts) -> None:
    bare = replace(facts, graphics=Graphics())
    for change, level in (({"driver": ("libcuda.so.1",)}, "fail"), ({}, "warn"), ({"code": ()}, "ok")):
        wheel = replace(WHEEL, **change)  # type: ignore[arg-type]
        assert only(wheel_findings(wheel, bare, "cure"), "wheel-gpu").level == level
    unknown = replace(facts, graphics=None, failed={"graphics": "it is shut"})
    assert "it is shut" in only(wheel_findings(WHEEL, unknown, "cure"), "wheel-gpu").what


def test_a_multi_device_wheel_where_mpi_is_missing_starts_or_is_launched(facts: Facts) -> None:
    wheel = replace(WHEEL, mpi=("libmpi.so.40",))
    for mpi, level in ((Mpi(), "fail"), (Mpi(initialised=0.1), "ok"), (Mpi(launched_by="PMI_RANK"), "ok")):
        assert only(wheel_findings(wheel, replace(facts, mpi=mpi), "cure"), "wheel-mpi").level == level
    late = replace(facts, mpi=None)
    assert only(wheel_findings(wheel, late, "cure"), "wheel-mpi").level == "warn"


def test_programs_that_are_missing_or_broken(facts: Facts) -> None:
    assert facts.system
    git, make, compiler = facts.system.prerequisites
    worse = replace(facts.system, prerequisites=(replace(git, found=None), replace(make, version=None), compiler))
    levels = {one.id: one.level for one in (*prerequisite_findings(worse), *interpreter_findings(None, "3.9"))}
    assert levels == {"git": "fail", "make": "fail", "g++": "ok", "python": "fail"}
    told = program_findings((Program("cmake", None, "no cmake fits"), Program("git-lfs", None, "not here")))
    assert [(one.id, one.level) for one in told] == [("cmake", "fail"), ("git-lfs", "ok")]


def test_the_compile_cache() -> None:
    assert cache_finding(CompileCache(None, "no toolkit")).level == "skipped"
    assert cache_finding(CompileCache(False, "compiled again")).level == "warn"
    assert "1.00 s, and 0.02 s" in cache_finding(CompileCache(True, "", 1, 0.02)).what


def test_mirrors_are_named_where_the_source_is_not_reached() -> None:
    blocked = Reach("source", "far.example", None, "timed out")
    assert "--source" in network_findings((blocked,))[0].remedy
    mirror = Reach("mirror", "near.example", 0.1)
    first, second = network_findings((blocked, mirror))
    assert first.level == "warn" and "near.example answers" in first.remedy
    assert second.level == "ok"
    (alone,) = network_findings((blocked, replace(mirror, seconds=None)))
    assert "nor can near.example" in alone.what


@pytest.mark.parametrize(
    ("owners", "level"),
    [((), None), (("ours",), "ok"), (("TensorRT-LLM", "ours"), "warn"), (("ours", "TensorRT-LLM"), "warn")],
)
def test_namesakes(owners: tuple[str, ...], level: str | None) -> None:
    found = command_findings(tuple(Command(f"/{number}/trtllm-build", whose) for number, whose in enumerate(owners)))
    assert [one.level for one in found] == ([level] if level else [])


def test_what_only_a_build_needs_is_no_failure_for_a_wheel(facts: Facts) -> None:
    assert facts.system
    bare = replace(facts, system=replace(facts.system, prerequisites=()), programs=(Program("cmake", None, "none"),))
    assert examine(bare, "cure").failed
    assert not examine(bare, "cure", wheel=WHEEL).failed
    assert examine(bare, "cure", wheel=WHEEL, profile="p", plan=HostError("no room")).failed


def test_a_file_that_is_no_wheel(facts: Facts) -> None:
    answer = examine(facts, "cure", wheel=VerifyError("x cannot be verified", remedy="Give a wheel."))
    assert answer.failed
    assert any("x cannot be verified" in line for line in answer.lines())


def test_what_is_late_is_told(facts: Facts) -> None:
    answer = examine(Facts(late=("graphics", "interpreter"), system=facts.system), "cure")
    assert next(one.what for one in answer.findings if one.id == "late").startswith("no answer in time about graphics")
    assert {only(list(answer.findings), id).what for id in ("gpu", "python")} == {"not known: no answer in time"}
    assert only(list(answer.findings), "git").level == "ok"


def test_what_hangs_on_a_fact_that_is_missing_is_not_known_either(facts: Facts) -> None:
    lame = replace(facts, machine=None, system=None, mpi=Mpi(), failed={"system": "Too many open files"})
    answer = examine(lame, "cure")
    assert only(list(answer.findings), "system").what == "not known: Too many open files"
    for id in ("mpi", "container"):
        assert (found := only(list(answer.findings), id)).level == "warn" and "not known" in found.what


def test_the_cure_fits_gpu_and_driver(facts: Facts, shipped: tuple[Candidate, ...]) -> None:
    def of(compute: str, driver: str) -> str:
        gpu = Gpu("GPU", compute, None)
        graphics = Graphics(gpus=(gpu,), driver=Driver(driver, "nvidia-smi"))
        return cure(replace(facts, graphics=graphics), shipped)

    assert of("9.0", "580.1").endswith("h200-ci")
    assert "cuda.architectures: [90]" in of("9.0", "570.1")  # h200-ci is built with CUDA 13
    assert of("8.6", "535.1").endswith("gpugeek-multi")
    assert "profiles list" in cure(replace(facts, graphics=None), shipped)
