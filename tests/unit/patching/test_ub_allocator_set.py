"""The shipped set on headers of our own in the shapes of three generations, which a real compiler then reads."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import PatchError
from trtllm_builder.patching.sets import apply, check, load_set, set_dirs

FILE = "cpp/tensorrt_llm/kernels/userbuffers/ub_allocator.h"
HEAD = """\
#pragma once
#if ENABLE_MULTI_DEVICE
#include "nccl.h"
#endif
#include <vector>
"""
TAIL = """
namespace tensorrt_llm::runtime::ub
{
struct UBBuffer
{
    void* addr;
    ncclWindow_t window;
};
} // namespace tensorrt_llm::runtime::ub
"""
MENDED = "#if !ENABLE_MULTI_DEVICE\nusing ncclWindow_t = void*;\n#endif\n"
NCCL = "#pragma once\ntypedef struct ncclWindow* ncclWindow_t;\n"


def planned(tree: Path, multi: str = "0") -> Any:
    return check([load_set("ub-allocator", set_dirs())], tree, {"ENABLE_MULTI_DEVICE": multi})


def compiles(tree: Path, multi: str) -> bool:
    (tree / "nccl.h").write_text(NCCL)
    (tree / "one.cpp").write_text(f'#include "{FILE}"\ntensorrt_llm::runtime::ub::UBBuffer one;\n')
    command = ["g++", "-std=c++17", f"-DENABLE_MULTI_DEVICE={multi}", f"-I{tree}", "-fsyntax-only", tree / "one.cpp"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_header_of_august_2025_compiles_afterwards_with_and_without_multi_device(make_tree: Any) -> None:
    tree = make_tree({FILE: HEAD + TAIL})
    assert not compiles(tree, "0")
    plan = planned(tree)
    assert plan.sets[0].status == "applies"
    apply(plan, tree)
    assert compiles(tree, "0")
    assert compiles(tree, "1")
    again = planned(tree)
    assert again.sets[0].status == "applied already"
    assert again.digest == plan.digest


@pytest.mark.parametrize("header", [HEAD + MENDED + TAIL, HEAD + TAIL.replace("    ncclWindow_t window;\n", "")])
def test_headers_before_and_after_need_nothing(make_tree: Any, header: str) -> None:
    tree = make_tree({FILE: header})
    assert compiles(tree, "0")
    assert planned(tree).sets[0].status == "not needed"


def test_for_many_devices_and_without_the_file_nothing_is_needed(make_tree: Any) -> None:
    tree = make_tree({FILE: HEAD + TAIL})
    assert planned(tree, "1").sets[0].status == "not needed"
    (tree / FILE).unlink()
    assert planned(tree).sets[0].status == "not needed"


def test_another_shape_is_an_error_and_not_a_guess(make_tree: Any) -> None:
    tree = make_tree({FILE: (HEAD + TAIL).replace("namespace tensorrt_llm::runtime::ub\n", "namespace ub\n")})
    with pytest.raises(PatchError, match="ub-allocator/window"):
        planned(tree)
