"""Traps in scripts/build_wheel.py, each found by what the script says, not by its release."""

from __future__ import annotations

import ast
from collections.abc import Callable

from trtllm_builder.upstream.build_script import PATH
from trtllm_builder.upstream.model import Flag, Trap
from trtllm_builder.upstream.script_facts import extra_handling, splits_extra
from trtllm_builder.upstream.script_view import Script, source_of

OPTIONAL_TARGETS = ("deep_ep", "deep_gemm", "flash_mla")


def find_script_traps(module: ast.Module, flags: tuple[Flag, ...]) -> tuple[Trap, ...]:
    """All traps of the script, in order of id."""
    script = Script(module, flags)
    found = [
        Trap(name, PATH, line, what) for name, (rule, what) in _RULES.items() if (line := rule(script)) is not None
    ]
    return tuple(sorted(found, key=lambda trap: trap.id))


def _set_order(script: Script) -> int | None:
    handling, line = extra_handling(script.module)
    return line if handling == "set" else None


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
            line = node.lineno
            source = source_of(node)
            if "deep_gemm_cpp_tllm" in source and "stubgen" in source and not script.guarded(node, "deep_gemm"):
                return line
    return None


def _optional_targets(script: Script) -> int | None:
    for node in script.nodes:
        if isinstance(node, ast.List):
            values = {part.value for part in node.elts if isinstance(part, ast.Constant)}
            if "tensorrt_llm" in values or {"th_common", "bindings"} & values:
                lines = [part.lineno for part in node.elts if getattr(part, "value", None) in OPTIONAL_TARGETS]
                if lines:
                    return min(lines)
    return None


def _home_cache(script: Script) -> int | None:
    if not script.has("TRTLLM_DG_CACHE_DIR"):
        return None
    cleared = (call.lineno for call in script.calls("clear_folder") if "cache_dir" in source_of(call))
    return min(cleared, default=None)


def _prompt(script: Script) -> int | None:
    if not script.has("NVIDIA_PYTORCH_VERSION"):
        return None
    return min((call.lineno for call in script.calls("input")), default=None)


def _requirements(script: Script) -> int | None:
    for function in script.functions():
        text = source_of(function)
        if "'CUDA_VERSION'" in text and "requirements.txt" in text and ("'w'" in text or "write_text" in text):
            inner = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node is not function]
            if not any("'CUDA_VERSION'" in source_of(node) for node in inner):
                return function.lineno
    return None


def _tensorrt_pip(script: Script) -> int | None:
    for node in script.nodes:
        last = node.elts[-2:] if isinstance(node, ast.List) else []
        if len(last) == 2 and _is_text(last[0], "show") and _is_text(last[1], "tensorrt"):
            return last[1].lineno
        # Until 0.20 the test is whether the name stands in the list that pip freeze prints.
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotIn) and _is_text(node.left, "tensorrt"):
            return node.lineno
    return None


def _is_text(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _generator_default(script: Script) -> int | None:
    flag = script.flags.get("--generator")
    if flag is None:
        build_type = script.flags.get("--build_type")
        return build_type.line if build_type else 1
    return None if flag.default else flag.line


def _generator_unquoted(script: Script) -> int | None:
    for node in script.nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and node.left.value == "-G":
            return node.lineno
    return None


def _half_configured(script: Script) -> int | None:
    if any("fingerprint" in function.name for function in script.functions()):
        return None
    for node in script.nodes:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "first_build":
            return node.lineno if "exists()" in source_of(node.value) else None
    return None


def _unstamped(script: Script) -> int | None:
    for call in script.calls("generate_fmha_cu"):
        for outer in script.around(call):
            if isinstance(outer, ast.If):
                asked = source_of(outer.test)
                if "exists()" in asked and "stamp" not in asked:
                    return outer.lineno
    return None


def _all_cpus(script: Script) -> int | None:
    flag = script.flags.get("--job_count") or script.flags.get("-j")
    return flag.line if flag and flag.arity == "?" else None


def _nccl_wheel(script: Script) -> int | None:
    for call in script.calls("append"):
        if call.args and getattr(call.args[0], "value", None) == "nccl_extensions_wheel":
            return call.lineno
    return None


def _msa(script: Script) -> int | None:
    for node in script.nodes:
        if isinstance(node, ast.If) and "interface.py" in source_of(node.test) and script.has("fmha_sm100"):
            return node.lineno if any(isinstance(inner, ast.Raise) for inner in node.body) else None
    return None


def _built_twice(script: Script) -> int | None:
    lines = [call.lineno for call in script.calls("build_run") if " -m build {" in source_of(call)]
    return lines[1] if len(lines) > 1 else None


def _submodules(script: Script) -> int | None:
    for call in script.calls("build_run"):
        if call.args and "git submodule update" in source_of(call.args[0]):
            return call.lineno
    return None


def _system_stubs(script: Script) -> int | None:
    for call in script.calls("build_run"):
        if call.args and "ln -s" in source_of(call.args[0]) and "libnvidia-ml" in source_of(call.args[0]):
            return call.lineno
    return None


def _kv_cache_extension(script: Script) -> int | None:
    return next((call.lineno for call in script.calls("build_kv_cache_manager_v2")), None)


_RULES: dict[str, tuple[Callable[[Script], int | None], str]] = {
    "extra-cmake-split": (
        lambda script: splits_extra(script.module),
        "each -D value is split on ';', so a CMake list cannot be passed",
    ),
    "extra-cmake-set-order": (
        _set_order,
        "-D values go through a set: their order changes with PYTHONHASHSEED, and a key given twice is undefined",
    ),
    "optional-targets-hard-coded": (
        _optional_targets,
        "deep_ep, deep_gemm or flash_mla stand in the target list, also when their option is OFF",
    ),
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
    "deep-gemm-stubs": (_deep_gemm_stubs, "stubs of deep_gemm_cpp_tllm are made, also with BUILD_DEEP_GEMM=OFF"),
    "home-cache-emptied": (_home_cache, "packaging empties $TRTLLM_DG_CACHE_DIR, else ~/.tensorrt_llm"),
    "prompt-on-pytorch-container": (
        _prompt,
        "with NVIDIA_PYTORCH_VERSION set it may stop and wait for a key",
    ),
    "requirements-rewritten-for-cuda": (
        _requirements,
        "with CUDA_VERSION=12.* in the environment it rewrites requirements.txt in place",
    ),
    "tensorrt-pip-required": (_tensorrt_pip, "it refuses to start unless pip lists tensorrt"),
    "makefile-default-generator": (_generator_default, "without a generator CMake writes Makefiles, not Ninja files"),
    "generator-name-unquoted": (_generator_unquoted, "a generator's name with a space breaks the configure line"),
    "half-configured-build-dir": (
        _half_configured,
        "a build directory left half-configured counts as configured, and changed -D or -a are ignored there",
    ),
    "unstamped-generated-tree": (
        _unstamped,
        "generated attention kernels are trusted if their directory exists, also after an interruption",
    ),
    "job-count-all-cpus": (_all_cpus, "without --job_count every CPU compiles, whatever the memory and the quota"),
    "submodule-update-in-script": (
        _submodules,
        "it runs 'git submodule update' itself when a submodule has no .git",
    ),
    "stubs-link-into-system": (_system_stubs, "the stub step makes a link in a system directory, which needs root"),
    "nccl-extensions-wheel": (
        _nccl_wheel,
        "for SM90 and newer it builds an nccl_extensions wheel, which needs multi-device support",
    ),
    "msa-staging": (_msa, "packaging fails unless CMake has fetched msa"),
    "wheel-built-twice": (_built_twice, "the wheel is packaged twice"),
    "kv-cache-manager-extension": (
        _kv_cache_extension,
        "packaging compiles an extension into the source tree: a C compiler and Python's headers are needed",
    ),
}
