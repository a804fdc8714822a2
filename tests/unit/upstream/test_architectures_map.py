"""Which GPU code is expected for which architectures, by upstream's mapping."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from trtllm_builder.errors import ProfileError
from trtllm_builder.upstream.architectures import cmake_architectures, expected_targets
from trtllm_builder.upstream.catalogue import rows
from trtllm_builder.upstream.model import Probe

FAMILY = Probe("", "1.2.0", architecture_bases=(80, 86, 90, 100, 120), architecture_exact=(87, 101))
EXACT = Probe("", "0.15.0")


@pytest.mark.parametrize(
    ("wanted", "cuda", "required", "allowed"),
    [
        ([80], "12.9", ["sm_80"], "sm_80"),
        ([86], "12.8", ["sm_86"], "sm_80 sm_86"),
        # 89 is compiled as 86, and some kernels as 89.
        ([89], "12.9", ["sm_86 sm_89"], "sm_80 sm_86 sm_89"),
        ([87], "13.0", ["sm_87"], "sm_80 sm_87"),
        ([90], "12.8", ["sm_90a"], "sm_80 sm_90a"),
        ([100], "12.8", ["sm_100a"], "sm_80 sm_100a"),
        ([100], "12.9", ["sm_100f"], "sm_80 sm_100a sm_100f"),
        ([103], "12.9.1", ["sm_100f"], "sm_80 sm_100a sm_100f sm_103a"),
        ([120], "13.0", ["sm_120f"], "sm_80 sm_120a sm_120f"),
        ([121], "13.1", ["sm_120f"], "sm_80 sm_120a sm_120f sm_121a"),
        ([101], "12.9", ["sm_101a"], "sm_80 sm_101a"),
        (
            [80, 86, 89, 120, 89],
            "12.9",
            ["sm_80", "sm_86", "sm_86 sm_89", "sm_120f"],
            "sm_80 sm_86 sm_89 sm_120a sm_120f",
        ),
    ],
)
def test_families(wanted: list[int], cuda: str, required: list[str], allowed: str) -> None:
    found = expected_targets(wanted, Version(cuda), FAMILY)
    assert list(found.required) == [frozenset(group.split()) for group in required]
    assert found.allowed == frozenset(allowed.split())


def test_trees_that_take_architectures_as_they_are() -> None:
    found = expected_targets([89, 90], Version("12.4"), EXACT)
    assert found.required == (frozenset({"sm_89"}), frozenset({"sm_90"}))
    assert found.allowed == frozenset({"sm_89", "sm_90"})


def test_prebuilt_kernels_bring_more() -> None:
    probe = Probe("", "1.1", architecture_bases=FAMILY.architecture_bases, prebuilt_kernels=("k.tar.xz",))
    found = expected_targets([89], Version("13.0"), probe)
    assert found.required == (frozenset({"sm_86", "sm_89"}),)
    assert "sm_90a" in found.allowed and "sm_75" not in found.allowed
    assert "prebuilt kernels" in found.reason


@pytest.mark.parametrize("wanted", [75, 70, 110, 60])
def test_what_upstream_does_not_build(wanted: int) -> None:
    with pytest.raises(ProfileError, match=f"does not build architecture {wanted}"):
        expected_targets([wanted], Version("13.0"), FAMILY)


@pytest.mark.parametrize("wanted", [103, 121])
def test_a_family_needs_its_toolkit(wanted: int) -> None:
    with pytest.raises(ProfileError, match=f"architecture {wanted} needs a CUDA toolkit of 12.9"):
        expected_targets([wanted], Version("12.8.1"), FAMILY)


def test_what_the_build_script_gets() -> None:
    assert cmake_architectures([80, 89, 120, 89], FAMILY) == "80;89;120"
    assert cmake_architectures([80, 89], EXACT) == "80-real;89-real"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([80, 86, 87, 89, 90, 100, 101, 103, 120, 121]), min_size=1, unique=True))
def test_what_is_required_is_allowed_and_runs_on_the_gpu(wanted: list[int]) -> None:
    # CUDA 13 calls 101 another name.
    found = expected_targets(wanted, Version("12.9" if 101 in wanted else "13.0"), FAMILY)
    assert all(group <= found.allowed for group in found.required)
    for number in wanted:
        assert any(int(name[3:].rstrip("af")) // 10 == number // 10 for group in found.required for name in group)
    assert found.to_json()["allowed"] == sorted(found.allowed)


@pytest.mark.parametrize(
    ("version", "told", "required"),
    [("0.19.0", "90-real", {"sm_90"}), ("0.20.0rc3", "90", {"sm_90", "sm_90a"}), ("unknown", "90-real", {"sm_90"})],
)
def test_where_the_list_was_not_found_the_version_decides(version: str, told: str, required: set[str]) -> None:
    found = Probe("", version)
    assert cmake_architectures([90], found) == told
    expected = expected_targets([90], Version("12.9"), found)
    assert expected.required == (frozenset(required),) and required <= expected.allowed


def test_new_gpus_of_the_oldest_family_are_reported() -> None:
    """B200 and RTX 50 came with 0.17."""
    assert {100, 120} <= set(rows()[0].architectures) and rows()[0].sureness["architectures"].level == "reported"
