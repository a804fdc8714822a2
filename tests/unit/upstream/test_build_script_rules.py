"""Rules about build_wheel.py one by one: the line they name, what mends a trap, the targets and the -D values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.upstream.probe import probe


def test_a_trap_names_the_line_that_holds_it(tree: Callable[..., Path]) -> None:
    root = tree()
    lines = (root / "scripts/build_wheel.py").read_text().splitlines()
    found = {trap.id: lines[trap.line - 1] for trap in probe(root).traps}
    assert "set(extra_cmake_vars)" in found["extra-cmake-set-order"]
    assert '.split(";")' in found["extra-cmake-split"]
    assert '"deep_gemm_cpp_tllm"' in found["deep-gemm-single-binding"]
    assert "deep_gemm_cpp_tllm" in found["deep-gemm-stubs"] and "stubgen" in found["deep-gemm-stubs"]
    assert '"deep_ep"' in found["deep-ep-architectures-file"]
    assert "def modify_requirements_for_cuda" in found["requirements-rewritten-for-cuda"]
    assert "input(" in found["prompt-on-pytorch-container"]
    assert "cpu_count()" in found["job-count-all-cpus"]


@pytest.mark.parametrize(
    ("before", "after", "silenced"),
    [
        (
            '    install_file(get_binding_lib("deep_gemm"',
            '    if list((build_dir / "deep_gemm").glob("*.so")):\n        install_file(get_binding_lib("deep_gemm"',
            "deep-gemm-single-binding",
        ),
        (
            "    build_run(f'\"{python}\" -m pybind11_stubgen -o . deep_gemm_cpp_tllm')",
            "    if deep_gemm:\n        build_run(f'\"{python}\" -m pybind11_stubgen -o . deep_gemm_cpp_tllm')",
            "deep-gemm-stubs",
        ),
        (
            '    with (build_dir / "tensorrt_llm" / "flash_mla" / "cuda_architectures.txt").open() as f:\n'
            "        flash_mla = f.read()\n",
            '    file = build_dir / "flash_mla" / "cuda_architectures.txt"\n'
            '    flash_mla = file.read_text() if file.exists() else ""\n',
            "flash-mla-architectures-file",
        ),
        (
            '    with (build_dir / "tensorrt_llm" / "flash_mla" / "cuda_architectures.txt").open() as f:\n'
            "        flash_mla = f.read()\n",
            "    try:\n"
            '        with (build_dir / "flash_mla" / "cuda_architectures.txt").open() as f:\n'
            "            flash_mla = f.read()\n"
            "    except FileNotFoundError:\n"
            '        flash_mla = ""\n',
            "flash-mla-architectures-file",
        ),
        ("set(extra_cmake_vars)", "list(extra_cmake_vars)", "extra-cmake-set-order"),
        ('"deep_ep", "deep_gemm", "pg_utils", "flash_mla"', '"pg_utils"', "optional-targets-hard-coded"),
        ('"-G", default=""', '"-G", default="Ninja"', "makefile-default-generator"),
        ('cmake_generator = "-G" + generator', "cmake_generator = f'-G \"{generator}\"'", "generator-name-unquoted"),
        ("ArgumentParser()\n", "ArgumentParser(allow_abbrev=False)\n", "flag-prefixes-match"),
        ("job_count = cpu_count()", "job_count = 4", None),
        (' -DBUILD_DEEP_EP="{deep_ep_on}"', "", "option-override-half-heard"),
        ('"python3 setup.py"', 'f"{python} setup.py"', "kernels-by-bare-python3"),
        ('f".venv-{sys.version_info.major}.{sys.version_info.minor}"', '"venv"', "venv-in-checkout"),
    ],
)
def test_what_is_mended_is_no_longer_a_trap(
    tree: Callable[..., Path], before: str, after: str, silenced: str | None
) -> None:
    root = tree()
    path = root / "scripts/build_wheel.py"
    text = path.read_text()
    assert text.count(before) == 1
    had = {trap.id for trap in probe(root).traps}
    path.write_text(text.replace(before, after))
    assert {trap.id for trap in probe(root).traps} == had - {silenced}


def test_what_happens_to_extra_cmake_values(tree: Callable[..., Path]) -> None:
    assert probe(tree(generation="1.2")).extra_cmake_handling == "set"
    assert probe(tree(generation="autumn-2026")).extra_cmake_handling == "ordered"
    assert probe(tree({"scripts/build_wheel.py": "def main(): pass\n"})).extra_cmake_handling == "unknown"


@pytest.mark.parametrize(
    ("generation", "targets"),
    [
        ("0.13", "tensorrt_llm nvinfer_plugin_tensorrt_llm th_common bindings executorWorker"),
        ("0.19", "tensorrt_llm nvinfer_plugin_tensorrt_llm th_common bindings executorWorker"),
        ("1.0", "tensorrt_llm nvinfer_plugin_tensorrt_llm th_common bindings deep_ep deep_gemm executorWorker"),
        (
            "1.2",
            "tensorrt_llm nvinfer_plugin_tensorrt_llm th_common bindings deep_ep deep_gemm pg_utils flash_mla "
            "executorWorker",
        ),
        ("mid-2026", "tensorrt_llm th_common bindings deep_ep deep_gemm pg_utils flash_mla"),
        # Whether NCCL's wheel is built depends on the architectures, so it is named.
        (
            "autumn-2026",
            "tensorrt_llm th_common bindings deep_ep deep_gemm pg_utils flash_mla nccl_extensions_wheel",
        ),
    ],
)
def test_targets_of_a_default_build_on_linux(tree: Callable[..., Path], generation: str, targets: str) -> None:
    assert " ".join(probe(tree(generation=generation)).targets) == targets
