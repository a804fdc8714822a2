"""The shipped set on imitations of each generation, which are then run: with 0 no MPI at all, with 1 all as before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import PatchError
from trtllm_builder.patching.mpi_audit import audit_tree
from trtllm_builder.patching.sets import PatchPlan, apply, check, load_set, set_dirs
from trtllm_builder.patching.tree import Tree
from trtllm_builder.patching.write import write_all

# The third-party block comes first, and so before BuildInfo: the order is the trap.
HEAD_020 = """\
import os
import numpystub as np
from mpi4py import MPI

# isort: off
import torch
# isort: on

from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE
HOST = 9

comm = MPI.COMM_WORLD
"""
HEAD_12 = HEAD_020.replace("import MPI\n", "import MPI\nfrom mpi4py.util import pkl5\n").replace(
    "MPI.COMM_WORLD", "pkl5.Intracomm(MPI.COMM_WORLD)"
)
EAGER = """

def set_mpi_comm(new):
    global comm
    comm = new


def mpi_comm():
    return comm


local_comm = mpi_comm().Split_type(split_type=HOST)


def local_mpi_comm():
    return local_comm
"""
THREADED = """

import threading

override = threading.local()


def mpi_comm():
    if getattr(override, "value", None) is not None:
        return override.value
    return comm


local_comm = mpi_comm().Split_type(split_type=HOST)


def local_mpi_comm():
    return local_comm
"""
LAZY = """

local_comm = None


def mpi_comm():
    return comm


def local_mpi_comm():
    global local_comm
    if local_comm is None:
        local_comm = mpi_comm().Split_type(split_type=HOST)
    return local_comm
"""
HELPERS = """

def mpi_rank():
    return mpi_comm().Get_rank() if ENABLE_MULTI_DEVICE else 0


def global_mpi_rank():
    return MPI.COMM_WORLD.Get_rank()


def global_mpi_size():
    return MPI.COMM_WORLD.Get_size() if ENABLE_MULTI_DEVICE else 1


def mpi_barrier():
    mpi_comm().Barrier()


def mpi_broadcast(obj, root=0):
    return mpi_comm().bcast(obj, root)


def mpi_allgather(obj):
    return mpi_comm().allgather(obj)
"""
GENERATIONS = {
    "0.20": {"_utils.py": HEAD_020 + EAGER + HELPERS},
    "1.2": {"_utils.py": HEAD_12 + EAGER + HELPERS},
    "2026": {"_comm.py": HEAD_12 + THREADED + HELPERS, "_utils.py": "from ._comm import *\nfrom ._comm import comm\n"},
    "2026 lazy": {"_comm.py": HEAD_12 + LAZY + HELPERS, "_utils.py": "from tensorrt_llm._comm import *\n"},
}
PACKAGE = {
    "__init__.py": "from . import _utils\nfrom .dist import MPIDist\n",
    "bindings/__init__.py": "import sys\nassert 'torch' in sys.modules, 'bindings before torch'\n",
    "bindings/BuildInfo.py": "import os\n\nENABLE_MULTI_DEVICE = int(os.environ['MULTI'])\n",
    "dist.py": """\
try:
    from mpi4py import MPI
except Exception:
    MPI = None

from ._utils import mpi_comm


class MPIDist:
    tp_comm: MPI.Comm

    def __init__(self, ranks):
        self.tp_comm = mpi_comm().Create_group(mpi_comm().group.Incl(ranks))
""",
    "executor/__init__.py": "",
    "executor/executor.py": '''\
"""One-GPU executors."""
import multiprocessing
import platform

from .utils import ProcessPoolExecutorSession


class GenerationExecutor:

    @staticmethod
    def create():
        from .proxy import Proxy
        if not platform.system() == 'Windows':
            return Proxy(
                mpi_session=None,  # use mpi4py
            )
        else:
            ctx = multiprocessing.get_context("spawn")
            return Proxy(mpi_session=ProcessPoolExecutorSession(n_workers=1, mp_context=ctx))
''',
    "executor/proxy.py": """\
from ..llmapi.mpi_session import MpiPoolSession
from .worker import worker_main


class Proxy:

    def __init__(self, mpi_session=None):
        self.session = mpi_session or MpiPoolSession(1)

    def ask(self, prompt):
        (future,) = self.session.submit(worker_main, prompt)
        answer = future.result(30)
        self.session.shutdown(wait=True)
        return answer
""",
    "executor/utils.py": """\
from concurrent.futures import ProcessPoolExecutor

from ..llmapi.mpi_session import MpiSession


class ProcessPoolExecutorSession(MpiSession):

    def __init__(self, n_workers, **kwargs):
        self.n_workers = n_workers
        self.mpi_pool = ProcessPoolExecutor(max_workers=self.n_workers, **kwargs)

    def submit(self, task, *args):
        return [self.mpi_pool.submit(task, *args) for i in range(self.n_workers)]

    def shutdown(self):
        self.mpi_pool.shutdown(wait=True)
""",
    "executor/worker.py": """\
import sys

from .._utils import global_mpi_rank, mpi_broadcast, mpi_comm


def worker_main(prompt):
    mpi_comm().barrier()
    return f"{mpi_broadcast(prompt)} {global_mpi_rank()} {'mpi4py' in sys.modules}"
""",
    "llmapi/__init__.py": "",
    "llmapi/mpi_session.py": """\
import abc

from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE

if ENABLE_MULTI_DEVICE:
    from mpi4py import MPI
    from mpi4py.futures import MPIPoolExecutor


class MpiSession(abc.ABC):

    @abc.abstractmethod
    def shutdown(self, wait=True):
        pass

    @abc.abstractmethod
    def abort(self):
        pass


class MpiPoolSession(MpiSession):

    def __init__(self, n_workers):
        from mpi4py.futures import MPIPoolExecutor
        self.pool = MPIPoolExecutor(n_workers)

    def submit(self, task, *args):
        return [self.pool.submit(task, *args)]

    def shutdown(self, wait=True):
        pass

    def abort(self):
        MPI.COMM_WORLD.Abort()
""",
}
# A world of three processes, so that what really asks MPI answers something that one process would not.
FAKES = {
    "numpystub.py": "",
    "torch.py": "",
    "mpi4py/__init__.py": "",
    "mpi4py/MPI.py": """\
print("MPI_Init")


class Group:
    def Incl(self, ranks):
        return self


class Comm:
    group = Group()

    def Get_rank(self):
        return 2

    def Get_size(self):
        return 3

    def Barrier(self):
        print("barrier")

    barrier = Barrier

    def bcast(self, obj, root=0):
        return obj

    def allgather(self, obj):
        return [obj] * 3

    def Split_type(self, split_type):
        print("split")
        return self

    def Create_group(self, group):
        return self


COMM_WORLD = Comm()
""",
    "mpi4py/util/__init__.py": "",
    "mpi4py/util/pkl5.py": "def Intracomm(comm):\n    return comm\n",
    "mpi4py/futures/__init__.py": """\
from concurrent.futures import ThreadPoolExecutor as MPIPoolExecutor

print("MPI pool")
""",
}
PROGRAM = """\
import sys


def main():
    import tensorrt_llm
    from tensorrt_llm import _utils
    print(_utils.mpi_rank(), _utils.global_mpi_rank(), _utils.global_mpi_size(), _utils.local_mpi_comm().Get_rank())
    print(_utils.mpi_barrier(), _utils.mpi_broadcast("b"), _utils.mpi_allgather("g"))
    print(type(tensorrt_llm.MPIDist([0]).tp_comm).__name__)
    from tensorrt_llm.executor.executor import GenerationExecutor
    print(GenerationExecutor.create().ask("answer"))
    print("mpi4py" in sys.modules)


if __name__ == "__main__":
    main()
"""


@pytest.fixture(params=sorted(GENERATIONS))
def tree(request: pytest.FixtureRequest, make_tree: Any) -> Path:
    package = {**PACKAGE, **GENERATIONS[request.param]}
    root: Path = make_tree(
        {
            **{f"tensorrt_llm/{name}": text for name, text in package.items()},
            **{f"fakes/{name}": text for name, text in FAKES.items()},
            "requirements.txt": "numpy<2\nmpi4py\ntorch\n",
            "program.py": PROGRAM,
        }
    )
    return root


def planned(tree: Path, multi: str = "0") -> PatchPlan:
    return check([load_set("single-device", set_dirs())], tree, {"ENABLE_MULTI_DEVICE": multi})


def run(tree: Path, multi: str) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": f"{tree}:{tree}/fakes", "MULTI": multi, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-W", "ignore", tree / "program.py"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_with_0_neither_import_nor_first_answer_touches_mpi(tree: Path) -> None:
    before = run(tree, "0")
    assert "MPI_Init\n" in before.stdout
    plan = planned(tree)
    assert {one.id: one.status for one in plan.sets[0].operations} == dict.fromkeys(
        ["stand-in", "imports", "one-gpu-executor-import", "one-gpu-executor", "process-pool-session", "requirement"],
        "applies",
    )
    apply(plan, tree)
    after = run(tree, "0")
    assert after.stderr == ""
    assert after.stdout == ("0 0 1 0\nNone b ['g']\nSingleProcessComm\nanswer 0 False\nFalse\n")
    assert (tree / "requirements.txt").read_text() == "numpy<2\ntorch\n"


def test_the_audit_sees_what_the_run_showed_and_that_the_set_closes_all_of_it(tree: Path) -> None:
    before = audit_tree(tree, [load_set("single-device", set_dirs())], {}, multi_device=False)
    assert before.entry("import").verdict == "touches MPI"
    assert before.entry("LLM").verdict == "touches MPI"
    assert any(touch.place.file.endswith("llmapi/mpi_session.py") for touch in before.entry("LLM").touches)
    assert not before.open, [touch for one in before.entries for touch in one.touches if not touch.closed_by]
    apply(planned(tree), tree)
    after = audit_tree(tree, [], {}, multi_device=False)
    assert after.free, after


def test_with_1_all_is_as_before(tree: Path) -> None:
    before = run(tree, "1")
    assert before.returncode == 0, before.stderr
    assert "2 2 3 2\n" in before.stdout
    apply(planned(tree, "1"), tree)
    after = run(tree, "1")
    assert after.stderr == before.stderr
    # The order of the fakes' prints is the only thing that a later import of mpi4py changes.
    assert sorted(after.stdout.splitlines()) == sorted(before.stdout.splitlines())
    assert "mpi4py" in (tree / "requirements.txt").read_text()


def test_guarded_imports_stay_as_they_are(tree: Path) -> None:
    before = (tree / "tensorrt_llm/llmapi/mpi_session.py").read_bytes()
    apply(planned(tree), tree)
    assert (tree / "tensorrt_llm/llmapi/mpi_session.py").read_bytes() == before


def test_after_a_kill_between_any_two_files_applying_again_completes(tree: Path) -> None:
    plan = planned(tree)
    done = {change.path: change.after for change in plan.changes}
    for part in [plan.changes[:length] for length in range(1, len(plan.changes))] + [plan.changes[-1:]]:
        write_all(tree, part)
        rest = planned(tree)
        assert {change.path: change.after for change in rest.changes} == {
            path: data for path, data in done.items() if path not in {change.path for change in part}
        }
        assert rest.digest == plan.digest
        for change in part:
            path = tree / change.path
            path.unlink() if change.before is None else path.write_bytes(change.before)
    apply(plan, tree)
    assert not planned(tree).needed


@pytest.mark.parametrize("tree", ["1.2"], indirect=True)
def test_the_session_of_the_process_pool_can_be_ended_at_once(tree: Path) -> None:
    apply(planned(tree), tree)
    program = """\
import time
from tensorrt_llm import _utils
from tensorrt_llm.executor.utils import ProcessPoolExecutorSession
if __name__ == "__main__":
    session = ProcessPoolExecutorSession(1)
    (future,) = session.submit(time.sleep, 60)
    time.sleep(0.2)
    session.abort()
    print(type(future.exception(20)).__name__)
    session.shutdown(wait=False)
"""
    (tree / "program.py").write_text(program)
    assert run(tree, "0").stdout == "BrokenProcessPool\n"


def test_a_tree_without_the_factory_is_an_error(tree: Path) -> None:
    file = tree / "tensorrt_llm/executor/executor.py"
    file.write_text(file.read_text().replace("'Windows'", "'Win32'"))
    with pytest.raises(PatchError, match=r"one-gpu-executor \(python.replace\): expected one place like `not platform"):
        planned(tree)


def test_the_set_fits_the_canary(tmp_path: Path) -> None:
    import trtllm_builder.canary

    canary = Path(trtllm_builder.canary.__file__).parent / "tree"
    plan = planned(canary)
    assert plan.sets[0].status == "applies"
    changed = {change.path for change in plan.changes}
    assert {"tensorrt_llm/_utils.py", "tensorrt_llm/executor/executor.py", "requirements.txt"} <= changed
    for change in plan.changes:
        assert Tree(canary).original(change.path).data == change.before
        if change.path.endswith(".py"):
            compile(change.after, change.path, "exec")
