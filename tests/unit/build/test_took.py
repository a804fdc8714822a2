from __future__ import annotations

import json
from pathlib import Path

from trtllm_builder.build.took import what_did_not_take
from trtllm_builder.plan.model import Setting

CACHE = """\
# comment
//Enable
ENABLE_MULTI_DEVICE:BOOL=0
BUILD_DEEP_EP:BOOL=FALSE
NVTX_DISABLE:BOOL=ON
TYPO:UNINITIALIZED=1
CMAKE_CUDA_FLAGS:UNINITIALIZED=-lineinfo
"""


def options(**values: str) -> list[Setting]:
    return [Setting(name, value, "test") for name, value in values.items()]


def configured(directory: Path, *commands: str) -> Path:
    (directory / "CMakeCache.txt").write_text(CACHE)
    entries = [{"directory": "/", "file": "a.cu", "command": command} for command in commands]
    (directory / "compile_commands.json").write_text(json.dumps(entries))
    return directory


def test_all_took(tmp_path: Path) -> None:
    build = configured(tmp_path, "nvcc -DENABLE_MULTI_DEVICE=0 -c a.cu", "g++ -c b.cpp")
    given = options(ENABLE_MULTI_DEVICE="0", BUILD_DEEP_EP="OFF", NVTX_DISABLE="ON", CMAKE_CUDA_FLAGS="-lineinfo")
    assert what_did_not_take(build, given) == ()


def test_what_nobody_declared_or_something_else_overruled_is_said(tmp_path: Path) -> None:
    build = configured(tmp_path, "nvcc -c a.cu")
    first, second, third = what_did_not_take(build, options(TYPO="1", NVTX_DISABLE="OFF", ABSENT="1"))
    assert first.startswith("TYPO=1 was given") and third.startswith("ABSENT=1 was given")
    assert second == "NVTX_DISABLE is ON in CMakeCache.txt and not OFF"


def test_the_macro_must_reach_compilers_with_that_value_everywhere(tmp_path: Path) -> None:
    given = options(ENABLE_MULTI_DEVICE="0")
    (problem,) = what_did_not_take(
        configured(tmp_path, "nvcc -DENABLE_MULTI_DEVICE=0 -c a.cu", "g++ '-DENABLE_MULTI_DEVICE=1' -c b.cpp"), given
    )
    assert problem == "compilers get ENABLE_MULTI_DEVICE=1 and not 0"
    (problem,) = what_did_not_take(configured(tmp_path, "nvcc -c a.cu"), given)
    assert "no compiler command defines" in problem
    (tmp_path / "compile_commands.json").unlink()
    (problem,) = what_did_not_take(tmp_path, given)
    assert "cannot be read" in problem


def test_nothing_configured_is_said(tmp_path: Path) -> None:
    (problem,) = what_did_not_take(tmp_path, options(ENABLE_MULTI_DEVICE="0"))
    assert "nothing was configured" in problem
