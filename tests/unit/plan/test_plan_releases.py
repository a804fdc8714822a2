"""Which releases a machine can build and run: driver, GPU, C library, Python, disk and memory, one at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trtllm_builder.plan.recommend import Recommendation, recommend
from trtllm_builder.plan.releases import Verdict, judge
from trtllm_builder.plan.situation import Situation
from trtllm_builder.upstream.catalogue import rows

GB = 10**9
# The field report: a rented RTX 4090, an old toolkit in the image, a driver of the 12.8 class, a 50 GB volume.
RUNPOD = Situation(
    driver="570.195.03",
    architectures=(89,),
    cuda="12.4",
    glibc="2.35",
    pythons=("3.10",),
    disk=50 * GB,
    place="/workspace",
    memory=64 * 2**30,
)


def verdicts(machine: Situation) -> dict[str, Verdict]:
    return {row.family: judge(row, machine) for row in rows()}


def advice(machine: Situation) -> Recommendation:
    return recommend(tuple(verdicts(machine).values()), machine)


def fitting(machine: Situation) -> list[str]:
    return [name for name, verdict in verdicts(machine).items() if verdict.fits]


def test_the_runpod_report() -> None:
    assert fitting(RUNPOD) == ["0.19", "0.20", "0.21", "1.0", "1.1"]
    given = advice(RUNPOD)
    assert (given.release, given.toolkit) == ("0.20", "12.9")
    toolkit, sass, architectures = given.steps
    assert "CUDA 12.4 here is not >=12.8,<13: unpack a CUDA 12.9 toolkit under /workspace" in toolkit
    assert sass.startswith("machine code (SASS) only, no PTX: driver 570.195.03 knows CUDA 12.8")
    assert "[89]" in architectures and "89 as sm_86" in architectures
    assert verdicts(RUNPOD)["1.1"].toolkit == "12.9"
    assert "driver 570.195.03 runs no release of that" in verdicts(RUNPOD)["1.2"].against[0].what


@pytest.mark.parametrize(
    ("change", "family", "reason"),
    [
        ({"driver": "450.80.02"}, "0.20", "needs CUDA >=12.8,<13, and driver 450.80.02 runs no release of that"),
        ({"architectures": (75,)}, "0.20", "compiles nothing for sm_75: it knows sm_80"),
        ({"architectures": (103,)}, "0.20", "compiles nothing for sm_103"),
        ({"glibc": "2.27"}, "0.20", "needs glibc >=2.28, this machine has 2.27"),
        ({"pythons": ("3.13",)}, "0.20", "needs Python 3.10 or 3.12, this machine has 3.13"),
        (
            {"driver": "565.57.01", "architectures": (100,)},
            "0.20",
            "sm_100 needs driver 570 or newer, this machine has 565.57.01",
        ),
        ({"disk": 8 * GB}, "0.20", "of disk in /workspace are too little"),
        ({"memory": 4 * 2**30}, "0.20", "4.0 GiB of memory are too little for one compiler (6.0 GiB)"),
        ({}, "0.13-0.18", "cannot be built single-device: trees of 0.13.0"),
    ],
)
def test_what_rules_a_release_out(change: dict[str, object], family: str, reason: str) -> None:
    against = verdicts(replace(RUNPOD, **change))[family].against  # type: ignore[arg-type]
    assert len(against) == 1 and reason in against[0].what


def test_a_newer_driver_runs_older_majors_too() -> None:
    assert fitting(replace(RUNPOD, driver="580.65")) == [row.family for row in rows()][1:]
    given = advice(replace(RUNPOD, driver="580.65", cuda="12.9"))
    assert given.release == "0.20" and not any("SASS" in step or "unpack" in step for step in given.steps)


def test_what_nobody_built_is_recommended_only_where_nothing_else_fits() -> None:
    given = advice(replace(RUNPOD, driver="580.65", architectures=(103,)))
    assert given.release == "main" and "of none of these a single-device build is known" in given.reason


@pytest.mark.parametrize(
    ("change", "reason", "step"),
    [
        (
            {"pythons": ("3.13",)},
            "0.20: needs Python 3.10 or 3.12, this machine has 3.13",
            "install Python 3.10 or 3.12",
        ),
        ({"driver": "470.57"}, "0.20: needs CUDA >=12.8,<13, and driver 470.57 runs no", "update the driver to 525"),
        ({"glibc": "2.17"}, "0.20: needs glibc >=2.28", "take an image with glibc >=2.28"),
        ({"disk": GB}, "0.20: 953.7 MiB of disk in /workspace are too little: 11.2 GiB", "attach a disk: 11.2 GiB"),
        ({"memory": GB}, "0.20: 953.7 MiB of memory are too little", "rent 6.0 GiB of memory"),
        ({"driver": "565.57", "architectures": (120,)}, "0.20: sm_120 needs driver 570", "update the driver to 570"),
    ],
)
def test_where_nothing_fits_it_says_what_is_nearest_and_how_to_get_there(
    change: dict[str, object], reason: str, step: str
) -> None:
    given = advice(replace(RUNPOD, **change))  # type: ignore[arg-type]
    assert given.release is None and f"no release fits this machine; nearest is {reason}" in given.reason
    assert len(given.steps) == 1 and step in given.steps[0]


def test_the_nearest_is_the_one_with_the_fewest_things_in_the_way() -> None:
    given = advice(replace(RUNPOD, driver="470.57", architectures=(103,), pythons=("3.13",)))
    # Families before 1.1 compile nothing for it, which nothing cures.
    assert "nearest is main: " in given.reason and "needs Python" in given.reason
    assert len(given.steps) == 3 and "580" in given.steps[0] and "570" in given.steps[1]


def test_a_gpu_that_nothing_is_compiled_for_has_no_cure() -> None:
    given = advice(replace(RUNPOD, architectures=(75,), pythons=("3.13",)))
    assert given.release is None and given.steps == ()
    assert "compiles nothing for sm_75" in given.reason and "Python" not in given.reason


def test_of_mixed_gpus_those_that_fit_are_built_for() -> None:
    mixed = replace(RUNPOD, architectures=(75, 89, 120))
    verdict = verdicts(mixed)["0.20"]
    assert verdict.fits and verdict.architectures == (89, 120)
    assert verdict.notes == ("sm_75 is left out: no release compiles for it",)
    given = advice(mixed)
    assert given.release == "0.20" and "cuda.architectures: [89, 120]" in given.steps[-1]
    newer = replace(RUNPOD, architectures=(89, 103), driver="580.65")
    assert "sm_103 is left out: this release compiles nothing for sm_103" in verdicts(newer)["0.20"].notes[0]
    assert advice(newer).release == "main"
    old_driver = verdicts(replace(RUNPOD, architectures=(89, 120), driver="565.57"))["0.20"]
    assert "sm_120 is left out: sm_120 needs driver 570" in old_driver.notes[0]


def test_thor_gets_the_toolkit_that_still_knows_it() -> None:
    verdict = verdicts(replace(RUNPOD, architectures=(101,), driver="580.65", machine="aarch64"))["1.1"]
    assert verdict.fits and verdict.toolkit == "12.9" and "does not compile for all of these GPUs" in verdict.notes[0]


@pytest.mark.parametrize("change", [{"machine": "aarch64"}, {"architectures": (87,)}])
def test_evidence_of_x86_64_is_none_for_other_machines(change: dict[str, object]) -> None:
    machine = replace(RUNPOD, driver="580.65", **change)  # type: ignore[arg-type]
    verdict = verdicts(machine)["0.20"]
    assert verdict.single_device == "unproven" and "on x86_64 only" in verdict.notes[-1]
    given = advice(machine)
    assert given.release == "main" and "of none of these a single-device build is known" in given.reason


def test_scarce_disk_is_a_note() -> None:
    verdict = verdicts(replace(RUNPOD, disk=20 * GB))["0.20"]
    assert verdict.fits and "24.2 GiB of disk may be needed" in verdict.notes[0]


def test_nothing_known_rules_nothing_out_but_the_oldest() -> None:
    assert fitting(Situation()) == [row.family for row in rows()][1:]
