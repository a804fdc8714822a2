"""All traps of a checkout. The ids, which plans and patches may rely on:

In scripts/build_wheel.py up to compiling: ``flag-prefixes-match`` ``extra-cmake-split`` ``extra-cmake-set-order``
``job-count-all-cpus`` ``job-count-ignores-quota`` ``makefile-default-generator`` ``generator-name-unquoted``
``half-configured-build-dir`` ``option-override-half-heard`` ``optional-targets-hard-coded`` ``nccl-extensions-wheel``
``build-graph-check`` ``ninja-keeps-depfiles``

In its packaging: ``deep-ep-architectures-file`` ``flash-mla-architectures-file`` ``deep-gemm-single-binding``
``machine-libraries-packaged`` ``deep-gemm-stubs`` ``stubs-not-skippable`` ``stubs-need-driver``
``stubs-link-into-system`` ``requirements-rewritten-for-cuda`` ``msa-staging`` ``kv-cache-manager-extension``
``attribution-step`` ``wheel-built-twice``

Its side effects: ``home-cache-emptied`` ``prompt-on-pytorch-container`` ``tensorrt-pip-required``
``pip-installs-requirements`` ``venv-in-checkout`` ``installs-with-own-python`` ``submodule-update-in-script``
``kernels-into-source`` ``kernels-by-bare-python3`` ``unstamped-generated-tree``

In CMake and C++: ``multi-device-raw-macro`` ``ucx-on-by-default`` ``tests-on-by-default`` ``benchmarks-on-by-default``
``cufile-on-by-default`` ``numa-required`` ``deep-ep-needs-mlx5`` ``prebuilt-mpi-archives`` ``ub-allocator-window``

In the package, setup.py and requirements.txt: ``import-mpi4py`` ``mpi4py-before-build-info``
``import-splits-communicator`` ``import-makes-communicator`` ``unguarded-mpi-call`` ``import-deep-gemm``
``import-deep-ep`` ``import-flash-mla`` ``executor-mpi-session`` ``stubs-directory`` ``requires-mpi4py``
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from trtllm_builder.upstream.cmake_options import CMakeFacts
from trtllm_builder.upstream.cmake_traps import find_cmake_traps
from trtllm_builder.upstream.model import Flag, Trap
from trtllm_builder.upstream.package_traps import find_package_traps
from trtllm_builder.upstream.script_traps import find_script_traps
from trtllm_builder.upstream.tree import Tree


def find_traps(
    tree: Tree, script: ast.Module, flags: tuple[Flag, ...], cmake: CMakeFacts, prebuilt_mpi: Sequence[str]
) -> tuple[Trap, ...]:
    """Those of the build script first, then CMake's, then the package's, each part by id."""
    return find_script_traps(script, flags) + find_cmake_traps(tree, cmake, prebuilt_mpi) + find_package_traps(tree)
