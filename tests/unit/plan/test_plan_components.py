"""Components that a profile leaves to us: on where upstream skips them, off where it would compile them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.errors import ProfileError, SourceError
from trtllm_builder.plan.command import cmake_options
from trtllm_builder.plan.components import cheaper_on
from trtllm_builder.plan.model import Setting
from trtllm_builder.profile.load import load_profile
from trtllm_builder.profile.model import Profile
from trtllm_builder.upstream.model import CMakeOption, Component, Probe

TEXT = """\
schema: 1
python: "3.10"
source: {{ref: main}}
cuda: {{architectures: [{architectures}], toolkit: ">=12"}}
build:
  cmake: {{{cmake}}}
"""
PLACE = "cpp/tensorrt_llm/deep_ep/CMakeLists.txt"


@pytest.fixture
def profile(tmp_path: Path) -> object:
    def make(architectures: str, cmake: str) -> Profile:
        path = tmp_path / "mine.yaml"
        path.write_text(TEXT.format(architectures=architectures, cmake=cmake))
        return load_profile(str(path), profile_dirs=[]).profile

    return make


def probe() -> Probe:
    names = ("BUILD_DEEP_EP", "BUILD_DEEP_GEMM", "BUILD_FLASH_MLA", "BUILD_TESTS")
    return Probe(
        root="/r",
        version="1.2.0",
        options=tuple(CMakeOption(name, "ON", "cpp/CMakeLists.txt", 7) for name in names),
        components=(
            Component("deep_ep", "BUILD_DEEP_EP", PLACE, 29, minimum=90),
            Component("deep_gemm", "BUILD_DEEP_GEMM", "cpp/x", 1, one_file=True),
            Component("flash_mla", "BUILD_FLASH_MLA", "cpp/y", 5, only=(90, 100)),
            Component("msa", "BUILD_MSA", "scripts/x.py", 9, only=(100, 103), staged=True),
        ),
    )


@pytest.mark.parametrize(
    ("architectures", "option", "passed", "said"),
    [
        ("89", "BUILD_DEEP_EP", None, f"left on: {PLACE}:29 compiles nothing for sm_89, and no patch is needed"),
        ("89, 90", "BUILD_DEEP_EP", "OFF", f"off: {PLACE}:29 would compile it for sm_90"),
        ("120", "BUILD_FLASH_MLA", None, "left on: cpp/y:5 compiles nothing for sm_120, and no patch is needed"),
        ("100", "BUILD_FLASH_MLA", "OFF", "off: cpp/y:5 would compile it for sm_100"),
        ("90", "BUILD_DEEP_GEMM", None, "left on: cpp/x:1 is one C++ file, and some of the package imports it without"),
    ],
)
def test_auto(profile, architectures: str, option: str, passed: str | None, said: str) -> None:  # type: ignore[no-untyped-def]
    defined = cmake_options(profile(architectures, f"{option}: auto"), probe())
    assert [(one.name, one.value) for one in defined.passed] == ([(option, passed)] if passed else [])
    assert [one.name for one in defined.left_out] == ([] if passed else [option])
    assert said in (*defined.passed, *defined.left_out)[0].origin


@pytest.mark.parametrize("value", ["ON", "OFF"])
def test_the_profile_can_force_either(profile, value: str) -> None:  # type: ignore[no-untyped-def]
    mine = profile("89", f"BUILD_DEEP_EP: {value}")
    defined = cmake_options(mine, probe())
    assert [(one.name, one.value) for one in defined.passed] == [("BUILD_DEEP_EP", value)] and defined.left_out == ()
    notes = cheaper_on(mine, probe(), defined.passed)
    assert bool(notes) == (value == "OFF")
    if notes:
        assert "BUILD_DEEP_EP=OFF saves nothing and needs a patch" in notes[0] and "auto leaves it on" in notes[0]


@pytest.mark.parametrize(
    ("value", "architectures", "said"),
    [
        (
            "auto",
            "89",
            "left on: scripts/x.py:9 compiles nothing for it, and no patch is needed; no GPU of sm_89 uses it",
        ),
        ("auto", "100", "left on: scripts/x.py:9 compiles nothing for it, and no patch is needed"),
        ("ON", "89", "CMake has no such option, a patch can leave it out"),
        ("OFF", "100", "CMake has no such option, a patch can leave it out"),
    ],
)
def test_what_only_a_patch_can_leave_out_is_never_passed_to_cmake(  # type: ignore[no-untyped-def]
    profile, value: str, architectures: str, said: str
) -> None:
    defined = cmake_options(profile(architectures, f"BUILD_MSA: {value}"), probe())
    assert defined.passed == ()
    (setting,) = defined.by_patch if value == "OFF" else defined.left_out
    assert said in setting.origin and setting.value == ("OFF" if value == "OFF" else "ON")
    assert ("uses it" in setting.origin) == (value == "auto" and architectures == "89")
    assert cheaper_on(profile(architectures, ""), probe(), defined.by_patch) == []
    assert defined.facts == ({"BUILD_MSA": "OFF"} if value == "OFF" else {})


def test_off_where_it_would_be_compiled_is_no_waste(profile) -> None:  # type: ignore[no-untyped-def]
    assert cheaper_on(profile("90", ""), probe(), (Setting("BUILD_DEEP_EP", "OFF", "x"),)) == []


def test_auto_for_what_is_no_component_points_at_the_profile(profile) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ProfileError, match=r"mine\.yaml:6:\d+: BUILD_TESTS: auto is for components"):
        cmake_options(profile("89", "BUILD_TESTS: auto"), probe())


@pytest.mark.parametrize("name", ["DEEP_EP", "FLASH_MLA"])
def test_auto_for_a_component_that_cannot_be_read_is_the_sources_fault(profile, name: str) -> None:  # type: ignore[no-untyped-def]
    bare = replace(probe(), components=(), options=(CMakeOption(f"BUILD_{name}", "ON", "cpp/CMakeLists.txt", 1),))
    text = f"BUILD_{name}: {{value: auto, if_declared: true}}"
    with pytest.raises(SourceError, match=f"cpp/tensorrt_llm/{name.lower()}/CMakeLists.txt") as caught:
        cmake_options(profile("89", text), bare)
    assert caught.value.exit_code == 4 and f"--set build.cmake.BUILD_{name}=OFF" in caught.value.remedy
