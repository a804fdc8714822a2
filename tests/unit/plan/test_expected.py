"""What a plan says of one compiler's memory, and of a file that can never fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trtllm_builder.gate.learned import Learned, Measured
from trtllm_builder.host.memory import Memory, MemoryLimit
from trtllm_builder.plan.expected import expected_of_one, too_large
from trtllm_builder.plan.peaks import add_peaks, peaks_path
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.catalogue import row_for

GIB = 2**30


def known(architecture: str = "90a") -> Learned:
    return Learned({
        ("big.cu", (architecture,), 1, "x"): Measured(1, 9 * GIB, 5.0),
        ("a.cpp", (), 1, "x"): Measured(1, GIB, 5.0),
    })  # fmt: skip


def test_kinds_then_peaks() -> None:
    cold = expected_of_one(Learned())
    assert "6.0 GiB (cutlass)" in cold and "no peak is learned" in cold
    assert "2 peaks are learned, the largest 9.0 GiB (big.cu)" in expected_of_one(known())


def test_a_peak_above_what_can_be_had_is_warned_of() -> None:
    small = Memory(64 * GIB, 50 * GIB, (MemoryLimit("/sys/memory.max", 8 * GIB, 0),))
    assert "big.cu took 9.0 GiB" in too_large(known(), small, (90,)) and "8.0 GiB" in too_large(known(), small, (90,))
    assert too_large(known(), Memory(64 * GIB, GIB), (90,)) == "", "others' use passes"
    assert "all of this machine" in too_large(known(), Memory(4 * GIB, GIB), (90,))
    assert too_large(known("80"), small, (90,)) == too_large(Learned(), small, (90,)) == ""


def test_the_plan_has_both(make_request: Callable[..., Request], make_survey: Callable[..., Survey]) -> None:
    request, survey = make_request(), make_survey(memory=8 * GIB)
    row = row_for("release/1.1")
    assert row is not None
    add_peaks(peaks_path(request.loaded.profile.name, request.environ), known(), measured=True)
    plan = resolve(request, survey, row.assumed_probe(), row)
    assert any("big.cu took 9.0 GiB" in one for one in plan.warnings)
    assert any("2 peaks are learned" in one for one in plan.notes)
    asked = replace(request, asked=replace(request.asked, jobs=3))
    assert not any("peaks are learned" in one for one in resolve(asked, survey, row.assumed_probe(), row).notes)
