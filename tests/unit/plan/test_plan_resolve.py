"""The resolved plan on a fixed machine: label, environment, mirrors, secrets, notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.plan.model import Plan
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve, variant_label
from trtllm_builder.plan.show import text_lines
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.catalogue import row_for
from trtllm_builder.upstream.model import Probe, Trap

MakeRequest = Callable[..., Request]
MakeSurvey = Callable[..., Survey]
TRAP = Trap("requirements-rewritten-for-cuda", "scripts/build_wheel.py", 5, "it does")


def environment(plan: Plan) -> dict[str, tuple[str, str]]:
    return {setting.name: (setting.value, setting.origin) for setting in plan.environment}


@pytest.mark.parametrize(
    ("architectures", "cuda", "label"),
    [
        ("[89]", "13.0.88", "sd.cu130.sm89"),
        ("[120, 80, 100]", "12.9.86", "sd.cu129.sm80.sm100.sm120"),
        ("[90]", "12.10", "sd.cu1210.sm90"),
    ],
)
def test_the_label_says_what_was_built(make_request: MakeRequest, architectures: str, cuda: str, label: str) -> None:
    request = make_request(overrides=(f"cuda.architectures={architectures}",))
    assert variant_label(request.loaded.profile, cuda) == label


@pytest.mark.parametrize(
    ("override", "kind", "note"),
    [
        ("build.cmake.ENABLE_MULTI_DEVICE=1", "md", "this is not a single-device build"),
        ("patches=[]", "sd", "the patch set single-device is not applied"),
        ("build.cmake.ENABLE_MULTI_DEVICE=0", "sd", None),
    ],
)
def test_a_build_that_is_not_single_device_says_so(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe, override: str, kind: str, note: str | None
) -> None:
    plan = resolve(make_request(overrides=(override,)), make_survey(), assumed, None)
    assert plan.label == f"{kind}.cu130.sm89.sm90"
    assert [one for one in plan.notes if "single-device" in one and (note is None or note not in one)] == []
    assert note is None or any(note in one for one in plan.notes)


def test_the_plan_follows_its_schema_and_every_value_has_an_origin(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe, validate: Callable[[str, object], None]
) -> None:
    plan = resolve(make_request(), make_survey(), assumed, row_for("release/1.1"))
    document = plan.to_json()
    validate("plan", document)
    assert document["argv"] == [word for part in document["command"] for word in part["words"]]
    assert all(part.origin for part in (*plan.command, *plan.environment, *plan.options))
    assert plan.label == "sd.cu130.sm89.sm90"
    assert {one.name: one.value for one in plan.options}["ENABLE_MULTI_DEVICE"] == "0"
    assert plan.assumed and plan.upstream.origin == "catalogue, assumed"
    assert [tool.path for tool in plan.tools] == ["/usr/bin/cmake", None]


def test_without_a_toolkit_the_lowest_version_is_planned_with_and_said(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe
) -> None:
    plan = resolve(make_request(), make_survey(cuda=None), assumed, None)
    assert plan.toolkit_version == "12.8" and plan.label == "sd.cu128.sm89.sm90"
    assert "the CUDA toolkit's version, 12.8: none is here yet" in plan.assumed
    assert not {"CUDA_HOME", "CUDACXX"} & environment(plan).keys()
    assert (plan.disk.high, plan.time.high) == (0, 0) and "not known" in plan.disk.source


@pytest.mark.parametrize(("asked", "planned"), [(">=12.8,<14", "12.9"), (">=12.8,<12.9", "12.8"), (">=13,<14", "13")])
def test_without_a_toolkit_the_release_s_own_is_planned_with_where_it_fits(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe, asked: str, planned: str
) -> None:
    """As `releases` recommends it."""
    request = make_request(overrides=("source.ref=release/0.20", f"cuda.toolkit='{asked}'"))
    plan = resolve(request, make_survey(cuda=None), assumed, row_for("release/0.20"))
    assert (
        plan.toolkit_version == planned and f"the CUDA toolkit's version, {planned}: none is here yet" in plan.assumed
    )


def test_the_host_s_index_wins_over_the_mirror_s(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe
) -> None:
    profile = Path(make_request().loaded.path).read_text().replace("1.1}", "1.1, mirrors: china}")
    mirrored = environment(resolve(make_request(profile), make_survey(), assumed, None))
    assert mirrored["PIP_INDEX_URL"][1] == "mirror set china" == mirrored["GITHUB_MIRROR"][1]
    environ = {"PIP_INDEX_URL": "https://mine.example/simple"}
    chosen = environment(resolve(make_request(profile, environ=environ), make_survey(), assumed, None))
    assert chosen["PIP_INDEX_URL"] == ("https://mine.example/simple", "host environment")
    assert chosen["GITHUB_MIRROR"][1] == "mirror set china"
    chosen = environment(
        resolve(
            make_request(profile, environ=environ, overrides=("build.environment.PIP_INDEX_URL=https://set.example/s",)),
            make_survey(), assumed, None,
        )
    )  # fmt: skip
    assert chosen["PIP_INDEX_URL"] == ("https://set.example/s", "--set")


def test_nothing_of_the_caller_s_that_publishes_or_misleads_gets_in(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe
) -> None:
    names = """NVIDIA_PYTORCH_VERSION CUDA_VERSION CUDA_HOME AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY TWINE_USERNAME
        TWINE_PASSWORD HF_TOKEN GITHUB_TOKEN SSH_AUTH_SOCK PYTHONPATH LD_PRELOAD LD_LIBRARY_PATH PYTHONHASHSEED
        CMAKE_ARGS CXXFLAGS MAKEFLAGS TLLM_WORKER_USE_SINGLE_PROCESS BASH_ENV VIRTUAL_ENV GIT_DIR NVCC_PREPEND_FLAGS"""
    hostile = dict.fromkeys(names.split(), "from-the-caller")
    request = make_request(environ={**hostile, "https_proxy": "http://proxy:8080"})
    plan = resolve(request, make_survey(), assumed, row_for("release/1.1"))
    assert environment(plan)["https_proxy"] == ("http://proxy:8080", "host environment")
    assert "from-the-caller" not in json.dumps(plan.to_json())
    assert environment(plan)["HOME"][0] == "/w/home"
    assert environment(plan)["PATH"][0].split(":")[:4] == ["/w/venv/bin", "/w/bin", "/opt/cuda/bin", "/usr/bin"]


@pytest.mark.parametrize(
    ("cuda", "traps", "wanted"),
    [("12.9.86", (TRAP,), "12.9.86"), ("13.0.88", (TRAP,), None), ("12.9.86", (), None)],
)
def test_cuda_version_is_set_for_the_release_that_reads_it_and_cuda_12(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe, cuda: str, traps: tuple[Trap, ...], wanted: str
) -> None:
    found = replace(assumed, traps=traps)
    plan = resolve(make_request(environ={"CUDA_VERSION": "11.1"}), make_survey(cuda=cuda), found, None)
    assert environment(plan).get("CUDA_VERSION", (None,))[0] == wanted


def test_credentials_are_shown_nowhere(make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe) -> None:
    profile = Path(make_request().loaded.path).read_text()
    request = make_request(
        profile.replace("{ref:", "{url: 'https://me:hunter2@git.example/t.git', ref:"),
        environ={
            "PIP_INDEX_URL": "https://bot:hunter2@index.example/simple?token=hunter2",
            "HTTPS_PROXY": "http://u:hunter2@proxy:1",
            "UV_INDEX_URL": "https://bot:o'hunter2@index.example/simple",
        },
    )
    plan = resolve(request, make_survey(), assumed, None)
    text = "\n".join(text_lines(plan))
    for shown in (text, json.dumps(plan.to_json())):
        assert "hunter2" not in shown
        assert "https://***@git.example/t.git" in shown and "https://***@index.example/simple?token=***" in shown
    # The build itself gets them.
    assert environment(plan)["HTTPS_PROXY"][0] == "http://u:hunter2@proxy:1"


def test_a_commit_s_time_dates_the_build(make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe) -> None:
    plan = resolve(make_request(), make_survey(), assumed, None, commit="a" * 40, epoch=1767225600)
    assert environment(plan)["SOURCE_DATE_EPOCH"] == ("1767225600", "time of the commit")
    assert plan.source.commit == "a" * 40


def test_more_jobs_than_memory_is_noted(make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe) -> None:
    plan = resolve(make_request(jobs=3), make_survey(memory=8 * 2**30), assumed, None)
    assert plan.jobs.count == 3 and plan.jobs.origin == "--jobs"
    assert "3 jobs of 6.0 GiB: 18.0 GiB, more memory than the 8.0 GiB that are free" in plan.notes
    fewer = resolve(make_request(jobs=1), make_survey(memory=8 * 2**30), assumed, None)
    assert not any("memory" in note for note in fewer.notes)


def test_missing_submodules_are_noted(make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe) -> None:
    plan = resolve(make_request(), make_survey(), replace(assumed, missing_submodules=("3rdparty/x",)), None)
    assert "submodules that are not there yet: 3rdparty/x" in plan.notes


def test_verification_takes_the_profile_s_word(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe
) -> None:
    said = resolve(
        make_request(overrides=("verify.architectures.required=[sm_90a]", "verify.architectures.allowed=[sm_80]")),
        make_survey(), assumed, None,
    ).verification.targets  # fmt: skip
    assert (said.required, said.allowed) == ((("sm_90a",),), ("sm_80", "sm_90a"))
