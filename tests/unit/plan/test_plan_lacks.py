"""What a host lacks is listed, all of it, with the steps that bring it; nothing of it stops the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.build.prepare import preflight
from trtllm_builder.errors import HostError
from trtllm_builder.host.disk import Disk
from trtllm_builder.plan import lacks
from trtllm_builder.plan.lacks import find_lacks
from trtllm_builder.plan.model import Estimate
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.survey import Survey, take_survey
from trtllm_builder.upstream.catalogue import row_for
from trtllm_builder.upstream.model import Probe

GB = 10**9
ROOM = Estimate(25 * GB, 63 * GB, "an estimate")
PROFILE = """\
schema: 1
extends: base/single-device
python: "3.10"
source: {ref: main}
cuda: {architectures: [90], toolkit: ">=13,<14"}
"""
MakeRequest = Callable[..., Request]
MakeSurvey = Callable[..., Survey]


def test_a_fit_host_lacks_nothing(make_request: MakeRequest, make_survey: MakeSurvey) -> None:
    assert find_lacks(make_request(), make_survey(), ROOM) == ()


def test_programs_and_python_are_named_all_at_once(make_request: MakeRequest, make_survey: MakeSurvey) -> None:
    survey = make_survey(missing=("git", "g++"))
    survey = replace(survey, host=replace(survey.host, interpreter=None))
    found = find_lacks(make_request(), survey, ROOM)
    assert [lack.what for lack in found] == [
        "git is missing: it is needed for it",
        "g++ is missing: it is needed for it",
        "no Python 3.10 runs here",
    ]
    assert found[0].steps == ("get git",)
    assert "python3.10-venv" in found[2].steps[0]


def test_too_little_room_for_build_and_tools(
    make_request: MakeRequest, make_survey: MakeSurvey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    survey = make_survey()
    tight = replace(survey, place=replace(survey.place, root=tmp_path, disk=Disk("/", 24 * GB, 99 * GB, 1, True)))
    monkeypatch.setattr(lacks, "probe_disk", lambda path: Disk(str(path), 2**20, 2**30, 1, True))
    room, tools = find_lacks(make_request(), tight, ROOM)
    assert "22.4 GiB free and the build needs at least 23.3 GiB (an estimate)" in room.what
    # pip needs twice the 1 MiB of our ninja for a moment.
    assert "1.0 MiB free and the tools need 2.0 MiB" in tools.what and "XDG_DATA_HOME" in tools.steps[0]
    (tmp_path / "journal.jsonl").touch()
    assert find_lacks(make_request(), tight, ROOM) == (tools,)
    read_only = replace(tight, place=replace(tight.place, disk=Disk("/ro", 99 * GB, 99 * GB, 1, False)))
    (only,) = find_lacks(make_request(), read_only, ROOM)
    assert only.what == "/ro cannot be written to" and "--workspace" in only.steps[0]


def taken(make_request: MakeRequest, *overrides: str) -> tuple[Request, Survey]:
    request = make_request(overrides=("python=host", "tensorrt.root=none", *overrides))
    return request, take_survey(request, None, 0)


def test_a_named_toolkit_that_is_not_there_gets_the_steps_that_put_it_there(
    make_request: MakeRequest, tmp_path: Path
) -> None:
    root = tmp_path / "volume/cuda-12.9"
    request, survey = taken(make_request, f"cuda.root={root}")
    lack = next(one for one in find_lacks(request, survey, ROOM) if "CUDA" in one.what)
    assert lack.what == f"the CUDA toolkit at {root} is not fit: there is no bin/nvcc"
    steps = "\n".join(lack.steps)
    assert f"--toolkitpath={root}" in steps and f"--set cuda.root={root}" in steps
    assert "--set cuda.archive=FILE" in steps and "GiB" in lack.steps[-1]


def test_an_archive_stands_in_for_a_named_root_that_is_not_there(make_request: MakeRequest, tmp_path: Path) -> None:
    archive = tmp_path / "cuda.run"
    archive.write_text("#!/bin/sh\n")
    _, survey = taken(make_request, "cuda.root=/nowhere", f"cuda.archive={archive}")
    assert (survey.toolkit.origin, survey.toolkit.reason) == ("archive", f"{archive}, handed over")
    (tmp_path / "lib").mkdir()
    _, survey = taken(make_request, f"cuda.root={tmp_path}", f"cuda.archive={archive}")
    assert survey.toolkit.origin == "absent"


def test_an_archive_that_is_not_there_is_a_lack_too(make_request: MakeRequest, tmp_path: Path) -> None:
    request, survey = taken(make_request, f"cuda.archive={tmp_path}/no.run", f"tensorrt.archive={tmp_path}/no.tgz",
                            "tensorrt.root=auto")  # fmt: skip
    found = [lack.what for lack in find_lacks(request, survey, ROOM)]
    assert any(f"{tmp_path}/no.run:1:1: cannot be read" in what for what in found)
    assert any(f"{tmp_path}/no.tgz:1:1: cannot be read" in what for what in found)


def test_an_existing_directory_that_is_no_toolkit_is_not_installed_over(
    make_request: MakeRequest, tmp_path: Path
) -> None:
    request, survey = taken(make_request, f"cuda.root={tmp_path}")
    lack = next(one for one in find_lacks(request, survey, ROOM) if "CUDA" in one.what)
    assert f"--toolkitpath={tmp_path}/home/.local/share/trtllm-builder/cuda" in "\n".join(lack.steps)


def test_a_named_tensorrt_that_is_not_there(make_request: MakeRequest, tmp_path: Path) -> None:
    request, survey = taken(make_request, "cuda.root=/nowhere", f"tensorrt.root={tmp_path}/trt")
    lack = next(one for one in find_lacks(request, survey, ROOM) if "TensorRT" in one.what)
    assert lack.what.startswith(f"the TensorRT at {tmp_path}/trt is not fit")
    assert any(f"-C {tmp_path}/trt" in step for step in lack.steps)


def test_an_upstream_without_tensorrt_wants_none_unless_one_is_named(make_request: MakeRequest, tmp_path: Path) -> None:
    def lacking(*overrides: str) -> list[str]:
        request = make_request(PROFILE, overrides=("python=host", "cuda.root=/nowhere", *overrides))
        survey = take_survey(request, row_for("main"), 0, takes_tensorrt=False)
        return [one.what for one in find_lacks(request, survey, ROOM) if "TensorRT" in one.what or "tgz" in one.what]

    assert lacking() == []
    assert lacking(f"tensorrt.root={tmp_path}/trt") == [
        f"the TensorRT at {tmp_path}/trt is not fit: there is no include/NvInferVersion.h"
    ]
    assert "no.tgz" in lacking(f"tensorrt.archive={tmp_path}/no.tgz")[0]


def test_a_tool_that_neither_we_nor_the_machine_have_is_a_lack(make_request: MakeRequest) -> None:
    request, survey = taken(make_request, "cuda.root=/nowhere", "tools.cmake='>=9'")
    lack = next(one for one in find_lacks(request, survey, ROOM) if "cmake" in one.what)
    assert "no cmake >=9 is on PATH" in lack.what and "widen the range" in lack.what


def test_the_plan_lists_them_and_preflight_raises_them_all(
    make_request: MakeRequest, make_survey: MakeSurvey, assumed: Probe
) -> None:
    preflight(resolve(make_request(), make_survey(), assumed, None))
    plan = resolve(make_request(), make_survey(missing=("git", "make")), assumed, None)
    assert len(plan.lacks) == 2
    with pytest.raises(HostError) as caught:
        preflight(plan)
    error = caught.value
    assert error.exit_code == 3 and error.remedy == "get git"
    assert [one.what for one in (error, *error.others)] == [lack.what for lack in plan.lacks]
