"""What scripts/build_wheel.py does up to the end of compiling: flags, definitions, configuring, targets.

A rule gives the line where a script has the trap, or None. Facts: what releases from 0.13 to autumn 2026 do.
"""

from __future__ import annotations

import ast
import re

from trtllm_builder.upstream.script_facts import extra_handling, splits_extra
from trtllm_builder.upstream.script_view import Rules, Script, source_of

OPTIONAL_TARGETS = ("deep_ep", "deep_gemm", "flash_mla")
_COMPONENT = re.compile(r"-DBUILD_(?:DEEP_EP|DEEP_GEMM|FLASH_MLA|NCCL_EXTENSIONS)=")


def _set_order(script: Script) -> int | None:
    handling, line = extra_handling(script.module)
    return line if handling == "set" else None


def _prefixes(script: Script) -> int | None:
    for call in script.calls("ArgumentParser"):
        exact = any(
            word.arg == "allow_abbrev" and isinstance(word.value, ast.Constant) and word.value.value is False
            for word in call.keywords
        )
        return None if exact else call.lineno
    return None


def _cpus(script: Script, *, by_affinity: bool) -> int | None:
    """Where the number of jobs is taken from the machine, by the mask of CPUs this process may use or by all."""
    aware = {function.name for function in script.functions() if "sched_getaffinity" in source_of(function)}
    for node in script.nodes:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "job_count":
            called = node.value.func if isinstance(node.value, ast.Call) else None
            name = getattr(called, "id", getattr(called, "attr", ""))
            return node.lineno if (name in aware) == by_affinity else None
    flag = script.flags.get("--job_count")
    return flag.line if flag and flag.arity == "?" and not by_affinity else None


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


def _half_heard(script: Script) -> int | None:
    return next((line for line, text in script.texts() if "cmake -D" in text and _COMPONENT.search(text)), None)


def _optional_targets(script: Script) -> int | None:
    for node in script.nodes:
        if isinstance(node, ast.List):
            values = {part.value for part in node.elts if isinstance(part, ast.Constant)}
            if "tensorrt_llm" in values or {"th_common", "bindings"} & values:
                lines = [part.lineno for part in node.elts if getattr(part, "value", None) in OPTIONAL_TARGETS]
                if lines:
                    return min(lines)
    return None


def _nccl_wheel(script: Script) -> int | None:
    for call in script.calls("append"):
        if call.args and getattr(call.args[0], "value", None) == "nccl_extensions_wheel":
            return None if _never(script, call) else call.lineno
    return None


def _never(script: Script, node: ast.AST) -> bool:
    """Whether it stands under an ``if NAME:`` whose NAME is False wherever the script sets it."""
    while (parent := script.parents.get(node)) is not None:
        if isinstance(parent, ast.If) and isinstance(parent.test, ast.Name) and node in parent.body:
            name = parent.test.id
            given = [one.value for one in script.nodes if isinstance(one, ast.Assign) and _names(one) == [name]]
            return bool(given) and all(isinstance(one, ast.Constant) and one.value is False for one in given)
        node = parent
    return False


def _names(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]


CONFIGURE_RULES: Rules = {
    "flag-prefixes-match": (_prefixes, "a flag cut short, or mistyped as a beginning of another, is taken for it"),
    "extra-cmake-split": (
        lambda script: splits_extra(script.module),
        "each -D value is split on ';', so a CMake list cannot be passed",
    ),
    "extra-cmake-set-order": (
        _set_order,
        "-D values go through a set: their order changes with PYTHONHASHSEED, and a key given twice is undefined",
    ),
    "job-count-all-cpus": (
        lambda script: _cpus(script, by_affinity=False),
        "without --job_count every CPU compiles, whatever the memory and the quota",
    ),
    "job-count-ignores-quota": (
        lambda script: _cpus(script, by_affinity=True),
        "without --job_count every CPU of the affinity mask compiles, whatever the memory and the quota",
    ),
    "makefile-default-generator": (_generator_default, "without a generator CMake writes Makefiles, not Ninja files"),
    "generator-name-unquoted": (_generator_unquoted, "a generator's name with a space breaks the configure line"),
    "half-configured-build-dir": (
        _half_configured,
        "a build directory left half-configured counts as configured, and changed -D or -a are ignored there",
    ),
    "option-override-half-heard": (
        _half_heard,
        "a component switched off by -D is off for CMake only: the script goes on as if it were on",
    ),
    "optional-targets-hard-coded": (
        _optional_targets,
        "deep_ep, deep_gemm or flash_mla stand in the target list, also when their option is OFF",
    ),
    "nccl-extensions-wheel": (
        _nccl_wheel,
        "for SM90 and newer it builds an nccl_extensions wheel, which needs multi-device support",
    ),
    "build-graph-check": (
        lambda script: script.saying("check-build-graph"),
        "after configuring it builds check-build-graph, which the changed tree has to satisfy too",
    ),
    "ninja-keeps-depfiles": (
        lambda script: script.saying("keepdepfile"),
        "with the Ninja generator it keeps every .d file: more small files in the build directory",
    ),
}
