"""Traps in the package: MPI at import, the one-GPU executor, components that are not there, the stubs directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.upstream.package_traps import find_package_traps
from trtllm_builder.upstream.tree import Tree

UTILS = """import os
from mpi4py import MPI
from mpi4py.util import pkl5

from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE

comm = pkl5.Intracomm(MPI.COMM_WORLD)


def mpi_comm():
    return comm


local_comm = mpi_comm().Split_type(split_type=9)
"""


def traps(tree: Callable[..., Path], files: dict[str, str]) -> list[tuple[str, str, int]]:
    return [(trap.id, trap.file, trap.line) for trap in find_package_traps(Tree(tree(files)))]


def test_utils_of_the_middle_generations(tree: Callable[..., Path]) -> None:
    assert traps(tree, {"tensorrt_llm/_utils.py": UTILS}) == [
        ("import-makes-communicator", "tensorrt_llm/_utils.py", 7),
        ("import-mpi4py", "tensorrt_llm/_utils.py", 2),
        ("import-splits-communicator", "tensorrt_llm/_utils.py", 14),
        ("mpi4py-before-build-info", "tensorrt_llm/_utils.py", 2),
    ]


def test_a_module_of_its_own_is_found_by_following_imports(tree: Callable[..., Path]) -> None:
    files = {
        "tensorrt_llm/__init__.py": "from .llmapi import LLM\n",
        "tensorrt_llm/llmapi/__init__.py": "try:\n    from ..mpi_utils import comm\nexcept ImportError:\n    pass\n",
        "tensorrt_llm/mpi_utils.py": UTILS,
        # Run as a script on other nodes only: importing the package does not reach it.
        "tensorrt_llm/llmapi/mgmn_worker_node.py": "from mpi4py.futures import MPICommExecutor\n",
    }
    assert {(name, file) for name, file, _ in traps(tree, files)} == {
        ("import-makes-communicator", "tensorrt_llm/mpi_utils.py"),
        ("import-mpi4py", "tensorrt_llm/mpi_utils.py"),
        ("import-splits-communicator", "tensorrt_llm/mpi_utils.py"),
        ("mpi4py-before-build-info", "tensorrt_llm/mpi_utils.py"),
    }


def test_the_split_made_lazy_leaves_the_import(tree: Callable[..., Path]) -> None:
    text = "from mpi4py import MPI\n\n\ndef local_mpi_comm():\n    return MPI.COMM_WORLD.Split_type(split_type=9)\n"
    assert traps(tree, {"tensorrt_llm/_utils.py": text}) == [("import-mpi4py", "tensorrt_llm/_utils.py", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "def mpi_comm():\n    from mpi4py import MPI\n    return MPI.COMM_WORLD\n",
        "if ENABLE_MULTI_DEVICE:\n    import mpi4py\n    local = comm().Split_type(9)\n",
        "try:\n    from mpi4py import MPI\nexcept ImportError:\n    MPI = None\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mpi4py import MPI\n",
        "local_comm = mpi_comm().Split_type(9) if ENABLE_MULTI_DEVICE else None\n",
        "local_comm = ENABLE_MULTI_DEVICE and mpi_comm().Split_type(9)\n",
        "words = 'mpi4py is not imported here'.split()\n",
        "import mpi4py_free\n",
    ],
)
def test_what_is_guarded_or_lazy_is_no_trap(tree: Callable[..., Path], text: str) -> None:
    assert traps(tree, {"tensorrt_llm/_utils.py": text}) == []


def test_a_guard_can_stand_where_build_info_is_known_already(tree: Callable[..., Path]) -> None:
    text = "from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE\nfrom mpi4py import MPI\n"
    assert traps(tree, {"tensorrt_llm/_utils.py": text}) == [("import-mpi4py", "tensorrt_llm/_utils.py", 2)]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("mpi_comm().Barrier()", 3),
        ("return mpi_comm().bcast(obj, 0)", 3),
        ("if ENABLE_MULTI_DEVICE:\n        mpi_comm().Barrier()", None),
        ("return mpi_comm().bcast(obj, 0) if global_mpi_size() > 1 else obj", None),
        ("return mpi_comm()", None),
    ],
)
def test_calls_that_talk_whatever_was_built(tree: Callable[..., Path], body: str, line: int | None) -> None:
    text = f"import os\ndef mpi_barrier(obj=None):\n    {body}\n"
    found = traps(tree, {"tensorrt_llm/_utils.py": text})
    assert found == ([("unguarded-mpi-call", "tensorrt_llm/_utils.py", line)] if line else [])


def test_mpi4py_among_the_requirements(tree: Callable[..., Path]) -> None:
    assert traps(tree, {"requirements.txt": "numpy\nmpi4py>=4\n"}) == [("requires-mpi4py", "requirements.txt", 2)]
    assert traps(tree, {"requirements.txt": "# mpi4py\nmpi4py-free\n"}) == []


EXECUTOR = """
def create():
    if reuse:
        return make(mpi_session=None)
    if not platform.system() == 'Windows':
        return make(
            kwargs,
            mpi_session={linux},
        )
    else:
        return make(kwargs, mpi_session=ProcessPoolExecutorSession(1))
"""


@pytest.mark.parametrize("path", ["tensorrt_llm/executor.py", "tensorrt_llm/executor/executor.py"])
def test_the_one_gpu_executor(tree: Callable[..., Path], path: str) -> None:
    assert traps(tree, {path: EXECUTOR.format(linux="None")}) == [("executor-mpi-session", path, 6)]
    assert traps(tree, {path: EXECUTOR.format(linux="pool")}) == []


@pytest.mark.parametrize("path", ["tensorrt_llm/executor.py", "tensorrt_llm/executor/executor.py"])
def test_the_one_gpu_executor_turned_round(tree: Callable[..., Path], path: str) -> None:
    text = """class GenerationExecutor:
    @staticmethod
    def create(session=None):
        if platform.system() == 'Windows':
            return Proxy(mpi_session=ProcessPoolExecutorSession(1))
        return Proxy(mpi_session=None)

    def other():
        return Proxy(mpi_session=None)
"""
    assert traps(tree, {path: text}) == [("executor-mpi-session", path, 6)]


def test_deep_gemm_without_a_guard(tree: Callable[..., Path]) -> None:
    base = "tensorrt_llm/_torch"
    files = {
        f"{base}/sparse/dsa.py": "import torch\nfrom tensorrt_llm import deep_gemm\n",
        f"{base}/relative.py": "from .. import deep_gemm\n",
        f"{base}/direct.py": "from tensorrt_llm.deep_gemm import get_num_sms\n",
        f"{base}/pyexecutor/engine.py": "def start():\n    from tensorrt_llm import deep_gemm\n",
        f"{base}/lazy.py": "def use():\n    from tensorrt_llm import deep_gemm\n",
        f"{base}/guarded.py": "try:\n    from tensorrt_llm import deep_gemm\nexcept ImportError:\n    pass\n",
        f"{base}/deep_gemm_utils.py": "from tensorrt_llm.deep_gemm_utils import x\n",
        "tensorrt_llm/deep_gemm/__init__.py": "from tensorrt_llm.deep_gemm import jit\n",
    }
    assert traps(tree, files) == [
        ("import-deep-gemm", f"{base}/direct.py", 1),
        ("import-deep-gemm", f"{base}/pyexecutor/engine.py", 2),
        ("import-deep-gemm", f"{base}/relative.py", 1),
        ("import-deep-gemm", f"{base}/sparse/dsa.py", 2),
    ]


def test_other_components_without_a_guard(tree: Callable[..., Path]) -> None:
    path = "tensorrt_llm/_torch/modules/moe.py"
    text = "from tensorrt_llm.deep_ep import Buffer\nfrom tensorrt_llm import flash_mla\n"
    assert traps(tree, {path: text}) == [("import-deep-ep", path, 1), ("import-flash-mla", path, 2)]


def test_setup_wants_the_stubs_directory(tree: Callable[..., Path]) -> None:
    text = 'def check():\n    if not path("bindings").exists():\n        raise ImportError("run build_wheel")\n'
    assert traps(tree, {"setup.py": text}) == [("stubs-directory", "setup.py", 3)]
    assert traps(tree, {"setup.py": text.replace("raise ImportError", "print")}) == []
