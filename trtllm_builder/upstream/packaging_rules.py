"""What scripts/build_wheel.py does after compiling: copying, stubs, wheels.

A rule gives the line where a script has the trap, or None. Facts: what releases from 0.13 to autumn 2026 do.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from trtllm_builder.upstream.script_view import Rules, Script, source_of


def _opens_architectures(component: str) -> Callable[[Script], int | None]:
    def rule(script: Script) -> int | None:
        for call in (*script.calls("open"), *script.calls("read_text")):
            source = source_of(call)
            if "cuda_architectures.txt" in source and component in source and not script.guarded(call, component):
                return call.lineno
        return None

    return rule


def _single_deep_gemm(script: Script) -> int | None:
    for call in script.calls("get_binding_lib"):
        first = call.args[0] if call.args else None
        if isinstance(first, ast.Constant) and first.value == "deep_gemm" and not script.guarded(call, "deep_gemm"):
            return call.lineno
    return None


def _deep_gemm_stubs(script: Script) -> int | None:
    for node in script.nodes:
        if isinstance(node, (ast.JoinedStr, ast.Constant)) and not isinstance(script.parents.get(node), ast.JoinedStr):
            source = source_of(node)
            if "deep_gemm_cpp_tllm" in source and "stubgen" in source and not script.guarded(node, "deep_gemm"):
                return node.lineno
    return None


def _no_skipping_stubs(script: Script) -> int | None:
    return script.saying("stubgen") if "--skip-stubs" not in script.flags else None


def _system_stubs(script: Script) -> int | None:
    return script.running("ln -s", "libnvidia-ml")


def _requirements(script: Script) -> int | None:
    for function in script.functions():
        text = source_of(function)
        if "'CUDA_VERSION'" in text and "requirements.txt" in text and ("'w'" in text or "write_text" in text):
            inner = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node is not function]
            if not any("'CUDA_VERSION'" in source_of(node) for node in inner):
                return function.lineno
    return None


def _msa(script: Script) -> int | None:
    for node in script.nodes:
        if isinstance(node, ast.If) and "interface.py" in source_of(node.test) and script.has("fmha_sm100"):
            return node.lineno if any(isinstance(inner, ast.Raise) for inner in node.body) else None
    return None


def _built_twice(script: Script) -> int | None:
    lines = [call.lineno for call in script.calls("build_run") if " -m build {" in source_of(call)]
    return lines[1] if len(lines) > 1 else None


def _machine_libraries(script: Script) -> int | None:
    for call in script.calls("install_tree"):
        if call.args and "/usr/local/ucx" in source_of(call.args[0]):
            return call.lineno
    return None


PACKAGING_RULES: Rules = {
    "deep-ep-architectures-file": (
        _opens_architectures("deep_ep"),
        "packaging opens deep_ep/cuda_architectures.txt, which BUILD_DEEP_EP=OFF does not write",
    ),
    "flash-mla-architectures-file": (
        _opens_architectures("flash_mla"),
        "packaging opens flash_mla/cuda_architectures.txt, which BUILD_FLASH_MLA=OFF does not write",
    ),
    "deep-gemm-single-binding": (
        _single_deep_gemm,
        "packaging insists on exactly one deep_gemm binding, also with BUILD_DEEP_GEMM=OFF",
    ),
    "machine-libraries-packaged": (
        _machine_libraries,
        "where a UCX wrapper was built, the machine's /usr/local/ucx is copied into the wheel as it is",
    ),
    "deep-gemm-stubs": (_deep_gemm_stubs, "stubs of deep_gemm_cpp_tllm are made, also with BUILD_DEEP_GEMM=OFF"),
    "stubs-not-skippable": (_no_skipping_stubs, "there is no --skip-stubs: the stub step always runs"),
    "stubs-need-driver": (
        lambda script: script.saying("/cuda/compat"),
        "the stub step loads the binding, and without a driver's libcuda.so.1 it fails",
    ),
    "stubs-link-into-system": (_system_stubs, "the stub step makes a link in a system directory, which needs root"),
    "requirements-rewritten-for-cuda": (
        _requirements,
        "with CUDA_VERSION=12.* in the environment it rewrites requirements.txt in place",
    ),
    "msa-staging": (_msa, "packaging fails unless CMake has fetched msa"),
    "kv-cache-manager-extension": (
        lambda script: next((call.lineno for call in script.calls("build_kv_cache_manager_v2")), None),
        "packaging compiles an extension into the source tree: a C compiler and Python's headers are needed",
    ),
    "attribution-step": (
        lambda script: script.saying("scripts/attribute.py"),
        "packaging activates the venv and installs an attribution tool with pip; offline that fails with a warning",
    ),
    "wheel-built-twice": (_built_twice, "the wheel is packaged twice"),
}
