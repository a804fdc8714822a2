"""All traps of a checkout. The ids, which plans and patches may rely on:

In scripts/build_wheel.py: ``extra-cmake-split`` ``extra-cmake-set-order`` ``optional-targets-hard-coded``
``deep-ep-architectures-file`` ``flash-mla-architectures-file`` ``deep-gemm-single-binding`` ``deep-gemm-stubs``
``home-cache-emptied`` ``prompt-on-pytorch-container`` ``requirements-rewritten-for-cuda`` ``tensorrt-pip-required``
``makefile-default-generator`` ``generator-name-unquoted`` ``half-configured-build-dir`` ``unstamped-generated-tree``
``job-count-all-cpus`` ``submodule-update-in-script`` ``stubs-link-into-system`` ``nccl-extensions-wheel``
``msa-staging`` ``wheel-built-twice`` ``kv-cache-manager-extension``

In the package, setup.py and C++: ``import-mpi4py`` ``import-splits-communicator`` ``import-deep-gemm``
``executor-mpi-session`` ``stubs-directory`` ``ub-allocator-window``
"""

from __future__ import annotations

import ast

from trtllm_builder.upstream.model import Flag, Trap
from trtllm_builder.upstream.package_traps import find_package_traps
from trtllm_builder.upstream.script_traps import find_script_traps
from trtllm_builder.upstream.tree import Tree


def find_traps(tree: Tree, script: ast.Module, flags: tuple[Flag, ...]) -> tuple[Trap, ...]:
    """Those of the build script first, then the others, each part by id."""
    return find_script_traps(script, flags) + find_package_traps(tree)
