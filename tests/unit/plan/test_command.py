from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.errors import ProfileError, SourceError
from trtllm_builder.plan.command import Command, render_command
from trtllm_builder.profile.load import load_profile
from trtllm_builder.profile.model import Profile
from trtllm_builder.upstream.model import CMakeOption, Flag, Probe

PROFILE = """\
schema: 1
python: "3.10"
source: {ref: main}
cuda: {architectures: [89, 90], toolkit: ">=12"}
build:
  cmake:
    ENABLE_MULTI_DEVICE: 0
    BUILD_DEEP_EP: {value: OFF, if_declared: true}
  flags:
    skip-stubs: true
    binding_type: {value: nanobind, if_declared: true}
"""
ONE = ("build_type", "cuda_architectures", "build_dir", "dist_dir", "trt_root")
NONE = ("use_ccache", "configure_cmake", "skip-stubs")


def flags(*, without: tuple[str, ...] = ()) -> tuple[Flag, ...]:
    known = [Flag((f"--{name}", f"-{name[0]}"), "1", line=n) for n, name in enumerate(ONE, 10)]
    known += [Flag((f"--{name}",), "0", "store_true", line=n) for n, name in enumerate(NONE, 30)]
    known += [
        Flag(("--job_count", "-j"), "?", line=50),
        Flag(("--generator", "-G"), "1", line=51),
        Flag(("--extra-cmake-vars", "-D"), "1", "append", line=52),
    ]
    return tuple(flag for flag in known if not {f"--{name}" for name in without} & set(flag.spellings))


def probe(*options: str, without: tuple[str, ...] = ()) -> Probe:
    declared = tuple(CMakeOption(name, "ON", "cpp/CMakeLists.txt", 7) for name in options)
    return Probe(root="/r", version="1.2.0", flags=flags(without=without), options=declared)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    path = tmp_path / "mine.yaml"
    path.write_text(PROFILE)
    return load_profile(str(path), profile_dirs=[]).profile


def render(profile: Profile, found: Probe, tensorrt_root: str | None = None) -> Command:
    return render_command(
        profile,
        found,
        python=Path("/w/venv/bin/python"),
        build_dir=Path("/w/build"),
        dist_dir=Path("/w/dist"),
        cmake_file=Path("/w/ours.cmake"),
        architectures="89-real;90-real",
        jobs=3,
        jobs_origin="here",
        tensorrt_root=tensorrt_root,
    )


def test_the_whole_line_and_where_each_word_comes_from(profile: Profile) -> None:
    command = render(profile, probe("ENABLE_MULTI_DEVICE", "BUILD_DEEP_EP"), "/opt/trt")
    words = [word for argument in command.arguments for word in argument.words]
    assert words == [
        "/w/venv/bin/python", "scripts/build_wheel.py", "--build_type", "Release",
        "--cuda_architectures", "89-real;90-real", "--job_count", "3", "--generator", "Ninja", "--use_ccache",
        "--configure_cmake", "--build_dir", "/w/build", "--dist_dir", "/w/dist", "--trt_root", "/opt/trt",
        "--skip-stubs", "--extra-cmake-vars", "ENABLE_MULTI_DEVICE=0", "--extra-cmake-vars", "BUILD_DEEP_EP=OFF",
        "--extra-cmake-vars", "CMAKE_PROJECT_TOP_LEVEL_INCLUDES=/w/ours.cmake",
    ]  # fmt: skip
    origins = {argument.words[-1]: argument.origin for argument in command.arguments}
    assert origins["ENABLE_MULTI_DEVICE=0"].endswith(
        "mine.yaml:7:26; probe cpp/CMakeLists.txt:7; probe scripts/build_wheel.py:52"
    )
    assert origins["3"] == "here; probe scripts/build_wheel.py:50"


def test_optional_means_left_out_and_said(profile: Profile) -> None:
    command = render(profile, probe("ENABLE_MULTI_DEVICE"))
    assert [option.name for option in command.options] == ["ENABLE_MULTI_DEVICE"]
    assert [option.name for option in command.left_out] == ["BUILD_DEEP_EP"]
    assert "--binding_type" not in [word for argument in command.arguments for word in argument.words]


def test_an_option_nobody_declares_points_at_the_profile(profile: Profile) -> None:
    with pytest.raises(ProfileError, match=r"mine\.yaml:7:\d+: .*1\.2\.0.* declares no CMake option ENABLE_MULTI_DEV"):
        render(profile, probe("BUILD_DEEP_EP"))


def test_a_flag_of_the_profile_that_is_not_there_points_at_the_profile(profile: Profile) -> None:
    with pytest.raises(ProfileError, match=r"mine\.yaml:10:\d+: .*has no --skip-stubs"):
        render(profile, probe("ENABLE_MULTI_DEVICE", without=("skip-stubs",)))


@pytest.mark.parametrize("name", ["job_count", "configure_cmake", "extra-cmake-vars", "use_ccache"])
def test_what_a_build_cannot_do_without_stops_it(profile: Profile, name: str) -> None:
    with pytest.raises(SourceError, match=f"has no --{name}"):
        render(profile, probe("ENABLE_MULTI_DEVICE", without=(name,)))


def test_a_generator_with_a_space_does_not_go_on_upstreams_shell_line(tmp_path: Path) -> None:
    path = tmp_path / "make.yaml"
    path.write_text(PROFILE.replace("build:\n", "build:\n  generator: Unix Makefiles\n"))
    command = render(load_profile(str(path), profile_dirs=[]).profile, probe("ENABLE_MULTI_DEVICE"))
    assert "--generator" not in [word for argument in command.arguments for word in argument.words]
    assert [(setting.name, setting.value) for setting in command.environment] == [("CMAKE_GENERATOR", "Unix Makefiles")]


def test_without_a_generator_flag_the_environment_says_it(profile: Profile) -> None:
    command = render(profile, probe("ENABLE_MULTI_DEVICE", without=("generator",)))
    assert [(setting.name, setting.value) for setting in command.environment] == [("CMAKE_GENERATOR", "Ninja")]
