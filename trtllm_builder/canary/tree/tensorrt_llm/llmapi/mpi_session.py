import abc
import os
import sys

from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE

if ENABLE_MULTI_DEVICE:
    from mpi4py.futures import MPIPoolExecutor

    from tensorrt_llm._utils import global_mpi_size, mpi_world_size


def external_mpi_comm_available(model_world_size: int) -> bool:
    """Whether mpirun started this program, rather than this program its workers."""
    if ENABLE_MULTI_DEVICE:
        return (mpi_world_size() == model_world_size and model_world_size > 1) or global_mpi_size() > mpi_world_size()
    else:
        return False


def need_spawn_mpi_workers(model_world_size: int) -> bool:
    if ENABLE_MULTI_DEVICE:
        return mpi_world_size() == 1 and model_world_size > 1
    else:
        return False


class MpiSession(abc.ABC):
    """Somewhere to run tasks: each submitted task runs once in every worker."""

    @abc.abstractmethod
    def submit(self, task, *args, **kwargs):
        raise NotImplementedError()

    @abc.abstractmethod
    def shutdown(self, wait=True):
        raise NotImplementedError()

    @abc.abstractmethod
    def abort(self):
        raise NotImplementedError()


class MpiPoolSession(MpiSession):

    def __init__(self, n_workers: int):
        self.n_workers = n_workers
        self.mpi_pool = None
        self._start_mpi_pool()

    def submit(self, task, *args, **kwargs):
        return [self.mpi_pool.submit(task, *args, **kwargs) for _ in range(self.n_workers)]

    def shutdown(self, wait=True):
        if self.mpi_pool is not None:
            self.mpi_pool.shutdown(wait=wait)
            self.mpi_pool = None

    def abort(self):
        self.shutdown(wait=False)

    def _start_mpi_pool(self):
        env = {key: value for key, value in os.environ.items() if key.startswith(("TRTLLM", "TLLM"))}
        self.mpi_pool = MPIPoolExecutor(max_workers=self.n_workers, path=sys.path, env=env)
