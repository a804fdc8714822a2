"""Traps in upstream's CMake code and in what is compiled by it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trtllm_builder.upstream.cmake_options import CMakeFacts
from trtllm_builder.upstream.model import CMakeOption, Trap
from trtllm_builder.upstream.tree import Tree

_ALLOCATOR = "cpp/tensorrt_llm/kernels/userbuffers/ub_allocator.h"
_ON = frozenset({"ON", "1", "TRUE", "YES"})
_DEFAULTS = {
    "ucx-on-by-default": (
        "ENABLE_UCX",
        "UCX is built and packaged where the machine has it, whatever ENABLE_MULTI_DEVICE says",
    ),
    "tests-on-by-default": ("BUILD_TESTS", "googletest is fetched and configured unless BUILD_TESTS is OFF"),
    "benchmarks-on-by-default": ("BUILD_BENCHMARKS", "the benchmarks are configured unless BUILD_BENCHMARKS is OFF"),
    "cufile-on-by-default": ("ENABLE_CUFILE", "configuring fails where libcufile is missing, unless it is OFF"),
}


def find_cmake_traps(tree: Tree, facts: CMakeFacts, prebuilt_mpi: Sequence[str]) -> tuple[Trap, ...]:
    """``prebuilt_mpi`` are the archives of the batch manager and the executor that were compiled with MPI."""
    options = {option.name: option for option in facts.options}
    found = [*_options(options), *_required(facts), *_allocator(tree)]
    if prebuilt_mpi:
        what = "it links prebuilt archives that call MPI: executorWorker cannot be linked without libmpi"
        found.append(Trap("prebuilt-mpi-archives", prebuilt_mpi[0], 1, what))
    return tuple(sorted(found, key=lambda trap: (trap.id, trap.file, trap.line)))


def _options(options: dict[str, CMakeOption]) -> Iterator[Trap]:
    multi_device = options.get("ENABLE_MULTI_DEVICE")
    if multi_device is not None and multi_device.kind != "option":
        what = "ENABLE_MULTI_DEVICE becomes a C macro as it is written: only the literals 0 and 1 work, not OFF and ON"
        yield Trap("multi-device-raw-macro", multi_device.file, multi_device.line, what)
    for name, (option, what) in _DEFAULTS.items():
        declared = options.get(option)
        if declared is not None and declared.default.upper() in _ON:
            yield Trap(name, declared.file, declared.line, what)


def _required(facts: CMakeFacts) -> Iterator[Trap]:
    for identifier, library, what in (
        ("numa-required", "numa", "configuring fails without libnuma's development files"),
        ("deep-ep-needs-mlx5", "mlx5", "from sm_90 on DeepEP wants libmlx5, and compiles NVSHMEM, which needs GCC"),
    ):
        place = facts.libraries.get(library)
        if place is not None:
            yield Trap(identifier, *place, what)


def _allocator(tree: Tree) -> Iterator[Trap]:
    """ncclWindow_t used where ENABLE_MULTI_DEVICE is 0, with nothing of that name there (issue 6798 of upstream)."""
    text = tree.text(_ALLOCATOR) or ""
    nested: list[bool] = []  # for each open #if: whether this part is for ENABLE_MULTI_DEVICE alone
    used = 0
    for number, line in enumerate(text.splitlines(), 1):
        directive = re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)", line)
        if directive:
            word, rest = directive[1], directive[2]
            if word in ("if", "ifdef"):
                nested.append("ENABLE_MULTI_DEVICE" in rest and "!" not in rest)
            elif word == "ifndef":
                nested.append(False)
            elif word in ("elif", "else") and nested:
                nested[-1] = False
            elif word == "endif" and nested:
                nested.pop()
        elif "ncclWindow_t" in line and not any(nested):
            if re.search(r"using\s+ncclWindow_t\b|typedef\b.*\bncclWindow_t\s*;", line):
                return
            used = used or number
    if used:
        what = "ncclWindow_t is used with ENABLE_MULTI_DEVICE=0, where no header defines it: compilation fails"
        yield Trap("ub-allocator-window", _ALLOCATOR, used, what)
