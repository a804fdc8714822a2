"""For which GPUs an optional component is compiled, as its own CMake code says."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from trtllm_builder.upstream.components import read_components
from trtllm_builder.upstream.model import Component
from trtllm_builder.upstream.tree import Tree


def components(root: Path) -> dict[str, Component]:
    script = ast.parse((root / "scripts/build_wheel.py").read_bytes())
    return {one.option: one for one in read_components(Tree(root), script)}


def test_what_the_components_of_1_2_are_for(tree: Callable[..., Path]) -> None:
    found = components(tree(generation="1.2", whole=True))
    deep_ep, flash, gemm = (found[f"BUILD_{name}"] for name in ("DEEP_EP", "FLASH_MLA", "DEEP_GEMM"))
    assert deep_ep.wanted([80, 89, 90, 120]) == (90, 120) and deep_ep.wanted([86, 89]) == ()
    assert (deep_ep.file, deep_ep.line) == ("cpp/tensorrt_llm/deep_ep/CMakeLists.txt", 8)
    assert flash.wanted([80, 89, 90, 103, 120, 121]) == (90, 103) and flash.wanted([120]) == ()
    assert gemm.one_file and gemm.wanted([89]) == (89,)
    assert not deep_ep.one_file and not flash.one_file


def test_what_the_script_chooses_by_itself(tree: Callable[..., Path]) -> None:
    files: dict[str, str | bytes] = {"cpp/tensorrt_llm/nccl_extensions/CMakeLists.txt": "add_custom_target(x)\n"}
    chosen = components(tree(files, generation="autumn-2026", whole=True))["BUILD_NCCL_EXTENSIONS"]
    assert chosen.file == "scripts/build_wheel.py" and chosen.wanted([89, 90]) == (90,) and not chosen.wanted([89])
    assert components(tree(files, generation="1.2"))["BUILD_NCCL_EXTENSIONS"].wanted([89]) == (89,)


def test_what_is_only_staged(tree: Callable[..., Path]) -> None:
    staged = components(tree(generation="autumn-2026", whole=True))["BUILD_MSA"]
    assert staged.staged and staged.wanted([89, 90, 120]) == () and staged.wanted([100, 103, 121]) == (100, 103)
    assert "BUILD_MSA" not in components(tree(generation="mid-2026", whole=True))
    script = "def apply_msa_patch(project_dir):\n    raise FileNotFoundError\n"
    assert components(tree({"scripts/build_wheel.py": script}))["BUILD_MSA"].staged


def test_without_an_early_return_it_is_compiled_for_all(tree: Callable[..., Path]) -> None:
    path = "cpp/tensorrt_llm/deep_ep/CMakeLists.txt"
    root = tree(generation="1.2", whole=True)
    (root / path).write_text((root / path).read_text().replace("return()", "message(STATUS none)"))
    assert components(root)["BUILD_DEEP_EP"].wanted([89]) == (89,)


def test_a_return_before_the_list_is_written_is_another_one(tree: Callable[..., Path]) -> None:
    path = "cpp/tensorrt_llm/deep_ep/CMakeLists.txt"
    text = 'if(WIN32)\n  return()\nendif()\nfile(WRITE x/cuda_architectures.txt "")\n'
    assert components(tree({path: text}))["BUILD_DEEP_EP"].minimum is None


def test_several_files_or_a_kernel_are_not_one_file(tree: Callable[..., Path]) -> None:
    path = "cpp/tensorrt_llm/deep_gemm/CMakeLists.txt"
    for sources in ("a.cpp b.cpp", "a.cu", "csrc/*.cpp"):
        assert not components(tree({path: f"set(SOURCES {sources})\n"}))["BUILD_DEEP_GEMM"].one_file
    assert components(tree({path: "set(SOURCES a.cpp)\nadd_library(x a.cpp)\n"}))["BUILD_DEEP_GEMM"].one_file


def test_what_is_no_cmake_code_is_noted(tree: Callable[..., Path]) -> None:
    reader = Tree(tree({"cpp/tensorrt_llm/deep_ep/CMakeLists.txt": "set(\n"}))
    assert read_components(reader, ast.parse("")) == ()
    assert reader.notes == (
        "cpp/tensorrt_llm/deep_ep/CMakeLists.txt:2: set( is not closed; for which GPUs it is compiled is not known",
    )
