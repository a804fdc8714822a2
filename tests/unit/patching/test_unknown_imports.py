"""Imports of mpi4py that the set single-device does not know must not pass unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import shipped
from trtllm_builder.errors import PatchError
from trtllm_builder.patching.read import PatchSet, read_set
from trtllm_builder.patching.sets import check

FILES = {"tensorrt_llm/_utils.py": "from mpi4py import MPI\n", "requirements.txt": "numpy\nmpi4py\n"}


@pytest.fixture
def single() -> PatchSet:
    return read_set(shipped("patches") / "single-device")


@pytest.mark.parametrize(
    "line",
    [
        "import mpi4py",
        "import mpi4py.MPI",
        "import mpi4py.MPI as Q",
        "import os, mpi4py.MPI",
        "from mpi4py.futures import MPIPoolExecutor",
        "from mpi4py.MPI import COMM_WORLD",
        "M = importlib.import_module('mpi4py.MPI')",
        "M = __import__('mpi4py')",
        "try:\n    pass\nexcept ImportError:\n    import mpi4py",
        "class A:\n    import mpi4py.MPI",
    ],
)
def test_an_unknown_import_is_a_misfit_with_its_line(make_tree: Any, single: PatchSet, line: str) -> None:
    tree = make_tree({**FILES, "tensorrt_llm/a/b.py": f"import os\n{line}\n"})
    with pytest.raises(PatchError, match="an import of mpi4py in a shape this set does not know") as caught:
        check([single], tree)
    assert str(caught.value.where) == f"{tree}/tensorrt_llm/a/b.py:{2 + line.count(chr(10))}:1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "if ENABLE_MULTI_DEVICE:\n    from mpi4py.futures import MPICommExecutor, MPIPoolExecutor\n"),
        ("a.py", "if TYPE_CHECKING:\n    import mpi4py\n"),
        ("a.py", "try:\n    import mpi4py.MPI\nexcept ImportError:\n    pass\n"),
        ("a.py", "def f():\n    import mpi4py\n    return __import__('mpi4py')\n"),
        ("llmapi/mgmn_worker_node.py", "from mpi4py.futures import MPICommExecutor\n"),
    ],
)
def test_imports_that_do_not_run_with_the_package_pass(make_tree: Any, single: PatchSet, name: str, text: str) -> None:
    plan = check([single], make_tree({**FILES, f"tensorrt_llm/{name}": text}))
    assert f"tensorrt_llm/{name}" not in [change.path for change in plan.changes]


def test_a_link_in_the_place_of_a_file_is_named(make_tree: Any, single: PatchSet, tmp_path: Path) -> None:
    tree = make_tree({**FILES, "tensorrt_llm/b.py": "from mpi4py import MPI\n"})
    (tree / "tensorrt_llm/a.py").symlink_to("b.py")
    check([single], tree)
    (tree / "tensorrt_llm/_utils.py").rename(tmp_path / "outside.py")
    (tree / "tensorrt_llm/_utils.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(PatchError, match=r"tensorrt_llm/_utils\.py is a symbolic link"):
        check([single], tree)
