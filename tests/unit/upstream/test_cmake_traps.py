"""Traps in CMake code and C++: defaults that hurt, libraries that must be there, a type that is nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.upstream.cmake_options import read_cmake
from trtllm_builder.upstream.cmake_traps import find_cmake_traps
from trtllm_builder.upstream.model import Trap
from trtllm_builder.upstream.tree import Tree


def traps(root: Path) -> tuple[Trap, ...]:
    tree = Tree(root)
    return find_cmake_traps(tree, read_cmake(tree), ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('option(ENABLE_UCX "" ON)', ["ucx-on-by-default"]),
        ("set_ifndef(ENABLE_UCX 1)", ["ucx-on-by-default"]),
        ("set_ifndef(ENABLE_UCX 0)", []),
        ('option(ENABLE_UCX "")', []),
        ("set_ifndef(ENABLE_MULTI_DEVICE 1)", ["multi-device-raw-macro"]),
        ('option(ENABLE_MULTI_DEVICE "" ON)', []),
        ('option(ENABLE_CUFILE "" ON)', ["cufile-on-by-default"]),
        ("find_package(NUMA REQUIRED)", ["numa-required"]),
        ("find_library(N numa REQUIRED)", ["numa-required"]),
        ("find_package(NUMA)", []),
        ("if(ENABLE_NUMA)\nfind_package(NUMA REQUIRED)\nendif()", []),
        ("find_library(L NAMES mlx5 REQUIRED)", ["deep-ep-needs-mlx5"]),
    ],
)
def test_defaults_and_libraries(tree: Callable[..., Path], text: str, found: list[str]) -> None:
    assert [trap.id for trap in traps(tree({"cpp/CMakeLists.txt": text + "\n"}))] == found


def test_what_a_find_module_wants_nobody_asked_for_yet(tree: Callable[..., Path]) -> None:
    assert traps(tree({"cpp/cmake/modules/FindX.cmake": "find_library(N numa REQUIRED)\n"})) == ()


ALLOCATOR = "cpp/tensorrt_llm/kernels/userbuffers/ub_allocator.h"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#if ENABLE_MULTI_DEVICE\n#include <nccl.h>\n#endif\nstruct B { ncclWindow_t w; };\n", 4),
        ('#include "nccl.h"\nncclWindow_t w;\n#if ENABLE_MULTI_DEVICE\nncclWindow_t v;\n#endif\n', 2),
        ("#if ENABLE_MULTI_DEVICE\n#if A\n#endif\n#else\nncclWindow_t w;\n#endif\n", 5),
        ("#ifndef ENABLE_MULTI_DEVICE\nncclWindow_t w;\n#endif\n", 2),
    ],
)
def test_a_window_without_nccl(tree: Callable[..., Path], text: str, line: int) -> None:
    assert [(trap.id, trap.file, trap.line) for trap in traps(tree({ALLOCATOR: text}))] == [
        ("ub-allocator-window", ALLOCATOR, line)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "#if ENABLE_MULTI_DEVICE\nncclWindow_t w;\n# ifdef _WIN32\nncclWindow_t v;\n#endif\n#endif\n",
        "#if ENABLE_MULTI_DEVICE\n#include <nccl.h>\n#else\nusing ncclWindow_t = void*;\n#endif\nncclWindow_t w;\n",
        "#if ENABLE_MULTI_DEVICE\n#else\ntypedef void* ncclWindow_t;\n#endif\nncclWindow_t w;\n",
        "struct UBBuffer { void* addr; };\n",
    ],
)
def test_a_window_that_is_safe(tree: Callable[..., Path], text: str) -> None:
    assert [(trap.id, trap.file, trap.line) for trap in traps(tree({ALLOCATOR: text}))] == []
