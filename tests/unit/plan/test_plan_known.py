"""What a release is known with and the profile takes otherwise: said first, and a lack only where it cannot work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from trtllm_builder.errors import ProfileError
from trtllm_builder.plan.model import Plan
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.show import text_lines
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.catalogue import row_for

Make = Callable[..., Plan]
VERIFIED = "(verified: requirements.txt of a later 1.2 pins CUDA 13 packages; rc2 still had a switch for 12.9)"


@pytest.fixture
def plan(make_request: Callable[..., Request], make_survey: Callable[..., Survey]) -> Make:
    def make(ref: str, toolkit: str, *overrides: str, here: str | None = None, version: str | None = None) -> Plan:
        row = row_for(ref)
        assert row is not None
        profile = (f"source.ref={ref}", f"cuda.toolkit='{toolkit}'", "cuda.architectures=[90]")
        probe = row.assumed_probe() if version is None else replace(row.assumed_probe(), assumed=False, version=version)
        survey = make_survey(cuda=here)
        # Not to be had on this machine, and not what this is about.
        survey = replace(survey, toolkit=replace(survey.toolkit, origin="archive"))
        return resolve(make_request(overrides=(*profile, *overrides)), survey, probe, row)

    return make


def test_what_is_known_is_no_warning(plan: Make) -> None:
    for known in (plan("v1.2.0", ">=13,<14"), plan("release/0.20", ">=12.8,<14"), plan("main", ">=13", here="13.1.8")):
        assert known.warnings == () and known.lacks == ()


def test_another_cuda_is_told_first_and_is_a_lack_where_the_cell_is_sure(plan: Make) -> None:
    made = plan("v1.2.0", ">=12.8,<13")
    told = f"release 1.2 is known with CUDA >=13,<14 {VERIFIED}; the profile takes >=12.8,<13 (--set)"
    assert made.warnings == (told,) and made.notes[0] == told
    assert text_lines(made)[1] == f"warning: {told}"
    (lack,) = made.lacks
    assert lack.what == told and "set cuda.toolkit to a range in >=13,<14" in lack.steps[0]


def test_who_names_the_toolkit_can_force_it(plan: Make) -> None:
    made = plan("v1.2.0", ">=12.8,<13", "cuda.root=/opt/cuda", here="12.9.41")
    assert "the profile takes 12.9.41 here" in made.warnings[0] and made.lacks == ()


def test_where_the_cell_is_hearsay_it_is_only_told(plan: Make) -> None:
    made = plan("release/0.20", ">=13.0,<14", here="13.0.88")
    assert "release 0.20 is known with CUDA >=12.8,<13 (reported: " in made.warnings[0] and made.lacks == ()


def test_another_python_and_other_gpus(plan: Make) -> None:
    made = plan("release/0.20", ">=12.9,<13", 'python="3.13"', "cuda.architectures=[90, 103]")
    python, gpus = made.warnings
    assert python.startswith("release 0.20 is known with Python 3.10 or 3.12 (reported: official wheels)")
    assert python.endswith("the profile takes 3.13 (--set)")
    assert "known with architectures 80, 86, 87, 89, 90, 100, 101, 120 (inferred:" in gpus and "takes 103" in gpus
    assert made.lacks == ()


def test_a_checkout_is_judged_by_its_own_version(plan: Make) -> None:
    assert plan("v1.2.0", ">=12.8,<13", version="0.20.0").warnings == ()
    assert "release 0.20 is known" in plan("v1.2.0", ">=13,<14", version="0.20.0").warnings[0]
    assert plan("v1.2.0", ">=12.8,<13", version="0.0.0+canary").warnings == ()


def test_sm_101_where_the_release_lists_it(plan: Make) -> None:
    assert plan("release/0.20", ">=12.8,<13", "cuda.architectures=[101]", here="12.9.41").warnings == ()
    with pytest.raises(ProfileError, match=r"architecture 101 is not known to CUDA 13\.0\.88: since 13\.0 it is 110"):
        plan("release/1.1", ">=13,<14", "cuda.architectures=[101]", here="13.0.88")
