"""Which releases a machine can build and run: driver, GPU, C library, Python, disk and memory, one at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.errors import UsageError
from trtllm_builder.plan.releases import Recommendation, Verdict, judge, recommend
from trtllm_builder.plan.situation import Situation, read_situation
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
    assert "driver 570.195.03 runs no release of that" in verdicts(RUNPOD)["1.2"].against[0]


@pytest.mark.parametrize(
    ("change", "family", "reason"),
    [
        ({"driver": "450.80.02"}, "0.20", "needs CUDA >=12.8,<13, and driver 450.80.02 runs no release of that"),
        ({"architectures": (75,)}, "0.20", "compiles nothing for sm_75: it knows sm_80"),
        ({"architectures": (103,)}, "0.20", "compiles nothing for sm_103"),
        ({"glibc": "2.27"}, "0.20", "needs glibc >=2.28, this machine has 2.27"),
        ({"pythons": ("3.13",)}, "0.20", "needs Python 3.10 or 3.12, this machine has 3.13"),
        ({"disk": 8 * GB}, "0.20", "of disk in /workspace are too little"),
        ({"memory": 4 * 2**30}, "0.20", "4.0 GiB of memory are too little for one compiler (6.0 GiB)"),
        ({}, "0.13-0.18", "cannot be built single-device: trees of 0.13.0"),
    ],
)
def test_what_rules_a_release_out(change: dict[str, object], family: str, reason: str) -> None:
    against = verdicts(replace(RUNPOD, **change))[family].against  # type: ignore[arg-type]
    assert len(against) == 1 and reason in against[0]


def test_a_newer_driver_runs_older_majors_too() -> None:
    assert fitting(replace(RUNPOD, driver="580.65")) == [row.family for row in rows()][1:]
    given = advice(replace(RUNPOD, driver="580.65", cuda="12.9"))
    assert given.release == "0.20" and not any("SASS" in step or "unpack" in step for step in given.steps)


def test_what_nobody_built_is_recommended_only_where_nothing_else_fits() -> None:
    given = advice(replace(RUNPOD, driver="580.65", architectures=(103,)))
    assert given.release == "main" and "of none of these a single-device build is known" in given.reason


def test_where_nothing_fits_it_says_so() -> None:
    given = advice(replace(RUNPOD, disk=GB))
    assert given.release is None and given.steps == () and "no release fits this machine" in given.reason


def test_scarce_disk_is_a_note() -> None:
    verdict = verdicts(replace(RUNPOD, disk=20 * GB))["0.20"]
    assert verdict.fits and "24.2 GiB of disk may be needed" in verdict.notes[0]


def test_nothing_known_rules_nothing_out_but_the_oldest() -> None:
    assert fitting(Situation()) == [row.family for row in rows()][1:]


def test_a_machine_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    path.write_text(
        '{"driver": "570.195.03", "gpus": ["8.9"], "cuda": "12.4", "glibc": "2.35", "pythons": ["3.10"], '
        '"disk_free": "50 GB", "place": "/workspace", "memory": "64 GiB"}'
    )
    assert read_situation(path) == RUNPOD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r":1:2: this is not JSON"),
        ("[]", r"this is no object"),
        ('{"gpu": []}', r"`gpu` is nothing that describes a machine"),
        ('{"gpus": "8.9"}', r"`gpus` cannot be \"8\.9\""),
        ('{"gpus": ["89"]}', r"`gpus` cannot be \"89\""),
        ('{"gpus": [8.9]}', r"`gpus` cannot be \[8\.9\]"),
        ('{"driver": 570}', r"`driver` cannot be 570"),
        ('{"driver": "new"}', r"`driver` cannot be \"new\""),
        ('{"disk_free": "much"}', r"`disk_free` cannot be \"much\""),
        ('{"disk_free": true}', r"`disk_free` cannot be true"),
        ('{"memory": -1}', r"`memory` cannot be -1"),
        ('{"place": "here"}', r"`place` cannot be \"here\""),
    ],
)
def test_what_describes_no_machine(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "host.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_situation(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_situation(tmp_path / "absent.json")
