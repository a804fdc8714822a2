"""The whole command line and environment for every family of releases, as golden files.

``UPDATE_GOLDEN=1 python -m pytest tests/unit/plan/test_plan_golden.py`` writes them anew;
``git diff`` shows what changed.
"""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.plan.model import Plan
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.survey import Survey
from trtllm_builder.tools.tensorrt import TensorRT, TensorRTChoice
from trtllm_builder.upstream.catalogue import Row, rows

GOLDEN = Path(__file__).parent / "golden"
# Two GPUs: one for which upstream leaves its components out by itself, one for which it would build them all.
ARCHITECTURES = ("89", "90")
# The oldest family is refused before it comes to this; its command line is kept right all the same.
FAMILIES = rows()
PROFILE = """\
schema: 1
extends: base/single-device
python: "3.10"
source: {{ref: "release/{ref}"}}
cuda: {{architectures: [{architecture}], toolkit: "{cuda}"}}
tensorrt: {{root: none}}
workspace: [cache]
build:
  flags:
    skip-stubs: {{value: true, if_declared: true}}
    binding_type: {{value: nanobind, if_declared: true}}
  cmake:
    BUILD_DEEP_EP: {{value: auto, if_declared: true}}
    BUILD_DEEP_GEMM: {{value: auto, if_declared: true}}
    BUILD_FLASH_MLA: {{value: auto, if_declared: true}}
    BUILD_NCCL_EXTENSIONS: {{value: auto, if_declared: true}}
"""
# What a container of NVIDIA's leaves in the environment, and what would lead a build astray.
ASTRAY = {
    "NVIDIA_PYTORCH_VERSION": "25.05",
    "CUDA_VERSION": "12.4.1",
    "TRTLLM_BUILD_ROOT": "/elsewhere",
    "TRTLLM_DG_CACHE_DIR": "/elsewhere",
    "EXTRA_WHEEL_BUILD_ARGS": "-x",
    "PYTHONPATH": "/elsewhere",
    "CCACHE_DIR": "/elsewhere",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "https_proxy": "http://proxy:3128",
}


@pytest.fixture
def make_plan(make_request: Callable[..., Request], make_survey: Callable[..., Survey]) -> Callable[[Row, str], Plan]:
    def make(row: Row, architecture: str) -> Plan:
        text = PROFILE.format(ref=row.family.split(" ")[0], architecture=architecture, cuda=row.cuda)
        request = make_request(text, environ=ASTRAY)
        survey = make_survey(cuda=f"{row.toolkit}.0")
        if row.tensorrt is not None:
            root = Path("/opt/tensorrt")
            tensorrt = TensorRT(root, root / "include", root / "lib", "10.0", "tensorrt.root")
            survey = replace(survey, tensorrt=TensorRTChoice("machine", tensorrt, "as the test says"))
        return resolve(request, survey, row.assumed_probe(), row, epoch=1735689600)

    return make


def rendered(plan: Plan, home: str) -> str:
    """Words that belong together on a line; then what is not passed, what is made, and the environment by name."""
    lines = [shlex.join(argument.words) for argument in plan.command]
    lines += [f"# not passed: {option.name}: {option.origin.rpartition('; ')[2]}" for option in plan.left_out]
    lines += [f"# made: {directory.value}" for directory in plan.directories]
    lines += ["", *sorted(f"{setting.name}={shlex.quote(setting.value)}" for setting in plan.environment)]
    return "\n".join(lines).replace(home, "HOME") + "\n"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.family.replace(" ", "-"))
def test_the_command_and_the_environment(
    make_plan: Callable[[Row, str], Plan], row: Row, architecture: str, tmp_path: Path
) -> None:
    text = rendered(make_plan(row, architecture), str(tmp_path / "home"))
    golden = GOLDEN / f"{row.family.replace(' ', '-')}-sm_{architecture}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    wanted = golden.read_text() if golden.exists() else ""
    if text != wanted:
        diff = difflib.unified_diff(wanted.splitlines(), text.splitlines(), golden.name, "as planned now", lineterm="")
        pytest.fail("UPDATE_GOLDEN=1 accepts this:\n" + "\n".join(diff), pytrace=False)


def test_no_golden_file_is_left_over() -> None:
    names = {f"{row.family.replace(' ', '-')}-sm_{one}.txt" for row in FAMILIES for one in ARCHITECTURES}
    assert {path.name for path in GOLDEN.iterdir()} == names


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.family)
def test_what_holds_for_every_release(make_plan: Callable[[Row, str], Plan], row: Row) -> None:
    plan = make_plan(row, "90")
    world = {setting.name: setting.value for setting in plan.environment}
    words = plan.argv
    assert not {"--clean", "-c", "--install", "-i", "--nixl_root"} & set(words)
    # No prompt: upstream asks only where this variable is set, and newer scripts can be told.
    assert "NVIDIA_PYTORCH_VERSION" not in world
    assert ("--yes" in words) == (row.assumed_probe().flag("yes") is not None)
    assert world["TRTLLM_DG_CACHE_DIR"].startswith(f"{plan.workspace.value}/")
    assert world["PYTHONHASHSEED"] == "0" and not {"TRTLLM_BUILD_ROOT", "EXTRA_WHEEL_BUILD_ARGS"} & set(world)
    rewrites = row.assumed_probe().has_trap("requirements-rewritten-for-cuda") and plan.toolkit_version.startswith(
        "12."
    )
    assert world.get("CUDA_VERSION") == (plan.toolkit_version if rewrites else None)
    passed = {option.name: option.value for option in plan.options}
    assert passed["ENABLE_MULTI_DEVICE"] == passed["ENABLE_UCX"] == "0"
    assert passed["BUILD_TESTS"] == passed["BUILD_BENCHMARKS"] == "OFF"
    definitions = [words[at + 1] for at, word in enumerate(words) if word == "--extra-cmake-vars"]
    assert len(definitions) == len({one.partition("=")[0] for one in definitions})
    assert not any(";" in one for one in definitions)
    # Plain numbers would make PTX in the oldest family; suffixes are forbidden by the newest.
    oldest = row.single_device == "unsupported"
    assert words[words.index("--cuda_architectures") + 1] == ("90-real" if oldest else "90")
    assert [one.value for one in plan.directories] == ([] if oldest else ["tensorrt_llm/bindings"])
    assert world.get("CMAKE_GENERATOR", words[words.index("--generator") + 1] if not oldest else None) == "Ninja"
    assert ("--trt_root" in words) == (row.tensorrt is not None)
