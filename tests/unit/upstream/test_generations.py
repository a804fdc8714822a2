"""Each rule fires on the generations that have its trap and is silent on the others: the matrix, and the facts behind.

FACTS says of every paragraph of the collected facts which traps it became, or where else it is looked after.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.upstream import traps
from trtllm_builder.upstream.probe import probe

ALL = ("0.13", "0.19", "0.20", "1.0", "1.2", "early-2026", "mid-2026", "build-root-2026", "autumn-2026")
FROM_019, FROM_020, FROM_10, FROM_12, FROM_2026 = ALL[1:], ALL[2:], ALL[3:], ALL[4:], ALL[5:]

FIRES: dict[str, tuple[str, ...]] = {
    "flag-prefixes-match": ALL,
    "extra-cmake-split": ALL,
    "extra-cmake-set-order": ALL[:8],
    "job-count-all-cpus": ALL[:5],
    "job-count-ignores-quota": FROM_2026,
    "makefile-default-generator": ALL,
    "generator-name-unquoted": FROM_019,
    "half-configured-build-dir": ALL[:8],
    "option-override-half-heard": FROM_10,
    "optional-targets-hard-coded": FROM_10,
    "nccl-extensions-wheel": ALL[8:],
    "build-graph-check": ALL[8:],
    "ninja-keeps-depfiles": FROM_2026,
    "deep-ep-architectures-file": FROM_10,
    "flash-mla-architectures-file": FROM_12,
    "deep-gemm-single-binding": FROM_10,
    "machine-libraries-packaged": FROM_019,
    "deep-gemm-stubs": FROM_10,
    "stubs-not-skippable": ("0.13",),
    "stubs-need-driver": ALL[:3],
    "stubs-link-into-system": ("1.0",),
    "requirements-rewritten-for-cuda": ("1.0", "1.2"),
    "msa-staging": ALL[7:],
    "kv-cache-manager-extension": ALL[5:8],
    "attribution-step": FROM_2026,
    "wheel-built-twice": ("early-2026", "mid-2026"),
    "home-cache-emptied": FROM_019,
    "prompt-on-pytorch-container": FROM_10,
    "tensorrt-pip-required": ALL[:6],
    "pip-installs-requirements": ALL,
    "venv-in-checkout": FROM_020,
    "installs-with-own-python": ALL[:7],
    "submodule-update-in-script": ALL[:7],
    "kernels-into-source": FROM_020,
    "kernels-by-bare-python3": FROM_020,
    "unstamped-generated-tree": ("0.20", "1.0", "1.2"),
    "multi-device-raw-macro": ("0.13",),
    "ucx-on-by-default": FROM_019,
    "tests-on-by-default": ALL,
    "benchmarks-on-by-default": ALL,
    "cufile-on-by-default": ("1.0",),
    "numa-required": ALL[6:],
    "deep-ep-needs-mlx5": FROM_10,
    "prebuilt-mpi-archives": ("0.13",),
    "ub-allocator-window": ("1.0",),
    "import-mpi4py": FROM_019,
    "mpi4py-before-build-info": FROM_019,
    "import-splits-communicator": ALL[1:8],
    "import-makes-communicator": FROM_019,
    "unguarded-mpi-call": ("0.13",),
    "import-deep-gemm": FROM_12,
    "import-deep-ep": (),
    "import-flash-mla": (),
    "executor-mpi-session": FROM_019,
    "stubs-directory": ALL,
    "requires-mpi4py": ALL,
}

# Paragraph of the facts -> traps, or in words what looks after it instead.
FACTS: dict[str, tuple[str, ...] | str] = {
    "1.1 flags per snapshot": "test_every_flag_of_a_generation_is_found",
    "1.1 prefix matching": ("flag-prefixes-match",),
    "1.2 job count": ("job-count-all-cpus", "job-count-ignores-quota"),
    "1.2 generator": ("makefile-default-generator", "generator-name-unquoted", "ninja-keeps-depfiles"),
    "1.2 extra-cmake-vars split, lists": ("extra-cmake-split",),
    "1.2 extra-cmake-vars in a set": ("extra-cmake-set-order",),
    "1.2 extra-cmake-vars in a mutable default": "only for Windows, where ENABLE_MULTI_DEVICE=0 is appended to it",
    "1.2 override semantics": ("option-override-half-heard",),
    "1.2 BUILD_TESTS and BUILD_BENCHMARKS never set": ("tests-on-by-default", "benchmarks-on-by-default"),
    "1.2 configure only if, changed -D ignored": ("half-configured-build-dir",),
    "1.2 --clean": "no plan ever passes it: test_plan_golden.py",
    "1.3 targets": "test_build_script_rules.py",
    "1.3 a target whose directory was not added": ("optional-targets-hard-coded",),
    "1.3 check-build-graph": ("build-graph-check",),
    "1.4 P1": ("optional-targets-hard-coded",),
    "1.4 P2": ("deep-ep-architectures-file",),
    "1.4 P3": ("deep-gemm-single-binding",),
    "1.4 P4": ("flash-mla-architectures-file",),
    "1.4 P5": ("deep-gemm-stubs",),
    "1.4 P6": "not broken: pg_utils stays a target",
    "1.4 P7": ("prebuilt-mpi-archives",),
    "1.4 P8": ("machine-libraries-packaged",),
    "1.4 P9": "always built",
    "1.4 P10": ("msa-staging",),
    "1.4 P11": ("nccl-extensions-wheel",),
    "1.4 P12": ("kv-cache-manager-extension",),
    "1.4 P13": ("wheel-built-twice",),
    "1.4 P14": ("attribution-step",),
    "1.4 P15": ("requirements-rewritten-for-cuda",),
    "1.4 arch-dependent mercy": "components.py: test_components.py",
    "1.4 from sm_90 on libmlx5, GCC, NVSHMEM": ("deep-ep-needs-mlx5",),
    "1.4 Python-side imports": ("import-deep-gemm", "import-deep-ep", "import-flash-mla"),
    "1.5 the bindings directory": ("stubs-directory",),
    "1.5 stubs need a driver": ("stubs-need-driver",),
    "1.5 no skip flag": ("stubs-not-skippable",),
    "1.5 link in a system directory": ("stubs-link-into-system",),
    "1.5 LD_LIBRARY_PATH for the transfer agent": "only with --nixl_root, which no plan passes",
    "1.6 prebuilt archives": ("prebuilt-mpi-archives",),
    "1.6 files to change": "the traps of 1.4, 2.3, 3 and 3.1",
    "1.7 home cache": ("home-cache-emptied",),
    "1.7 pip installs": ("pip-installs-requirements",),
    "1.7 venv in the checkout": ("venv-in-checkout",),
    "1.7 NVIDIA_PYTORCH_VERSION": ("prompt-on-pytorch-container",),
    "1.7 tensorrt pip-visible": ("tensorrt-pip-required",),
    "1.7 literal python3": ("kernels-by-bare-python3",),
    "1.7 generated into the source tree": ("kernels-into-source",),
    "1.7 interrupted generation trusted": ("unstamped-generated-tree",),
    "1.7 git submodule update": ("submodule-update-in-script",),
    "1.7 --install with sys.executable": ("installs-with-own-python",),
    "2.1 raw macro": ("multi-device-raw-macro",),
    "2.1 ENABLE_UCX on": ("ucx-on-by-default",),
    "2.1 ENABLE_CUFILE": ("cufile-on-by-default",),
    "2.1 other options": "read as they are: test_cmake_reading.py",
    "2.1 TIMING_NVCC guards NVCC_TIMING": "a report of compile times only; no profile sets it",
    "2.2 effect of 0": "no trap: what is left out is what is wanted",
    "2.2 ENABLE_UCX independent": ("ucx-on-by-default",),
    "2.2 pip metadata lists mpi4py": ("requires-mpi4py",),
    "2.2 fetched regardless": "network inputs: the fetch stage's",
    "2.2 NUMA mandatory": ("numa-required",),
    "2.3 up to 0.18": ("prebuilt-mpi-archives",),
    "2.3 macro not 0 or 1": ("multi-device-raw-macro",),
    "2.3 ub_allocator.h": ("ub-allocator-window",),
    "2.3 CMake minimum": "Probe.cmake_minimum: test_cmake_reading.py",
    "3 import of mpi4py": ("import-mpi4py",),
    "3 split at import": ("import-splits-communicator",),
    "3 communicator at import": ("import-makes-communicator",),
    "3 order of imports": ("mpi4py-before-build-info",),
    "3 unguarded calls": ("unguarded-mpi-call",),
    "3 separate module of 2026": "found by following imports: test_package_traps.py",
    "3 MpiComm.local_init": "a no-op with ENABLE_MULTI_DEVICE=0",
    "3.1 one-GPU executor": ("executor-mpi-session",),
}


@pytest.mark.parametrize("generation", ALL)
def test_exactly_the_traps_of_the_generation(tree: Callable[..., Path], generation: str) -> None:
    found = probe(tree(generation=generation, whole=True))
    assert found.notes == ()
    assert {trap.id for trap in found.traps} == {name for name, where in FIRES.items() if generation in where}


def test_every_generation_and_every_trap_is_in_the_matrix(generations: tuple[str, ...]) -> None:
    assert generations == ALL
    documented = set(re.findall(r"``([a-z0-9-]+)``", traps.__doc__ or ""))
    assert set(FIRES) == documented


def test_every_fact_is_looked_after_and_every_trap_is_a_fact() -> None:
    said = {trap for answer in FACTS.values() if isinstance(answer, tuple) for trap in answer}
    assert said == set(FIRES)


@pytest.mark.parametrize("generation", ALL)
def test_every_flag_of_a_generation_is_found(
    tree: Callable[..., Path], flags_of: Callable[[str], list[str]], generation: str
) -> None:
    found = probe(tree(generation=generation))
    assert [flag.long for flag in found.flags] == flags_of(generation)
    assert {flag.long: flag.arity for flag in found.flags}["--job_count"] == "?"
    shorts = [spelling for flag in found.flags for spelling in flag.spellings if not spelling.startswith("--")]
    assert ("-ccache" in shorts) == (generation in ALL[:5])
    assert ("-G" in shorts) == (generation != "0.13") and ("-D" in shorts)
