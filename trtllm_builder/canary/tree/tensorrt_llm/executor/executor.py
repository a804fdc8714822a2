import multiprocessing
import platform
from abc import ABC, abstractmethod
from typing import Dict, Optional

from tensorrt_llm.logger import logger

from .._utils import mpi_world_size
from ..llmapi.mpi_session import MpiSession, external_mpi_comm_available, need_spawn_mpi_workers
from ..llmapi.utils import enable_worker_single_process_for_tp1
from .utils import ProcessPoolExecutorSession

__all__ = ["GenerationExecutor"]


class GenerationExecutor(ABC):

    @abstractmethod
    def submit(self, prompt: str) -> str:
        """The answer to a prompt. Raises ValueError when the model has none."""

    @abstractmethod
    def shutdown(self):
        pass

    @staticmethod
    def _create_ipc_executor(worker_kwargs: Dict, model_world_size: int, mpi_session: Optional[MpiSession],
                             use_worker: bool = False):
        if use_worker:
            from .worker import GenerationExecutorWorker
            return GenerationExecutorWorker(**worker_kwargs)
        else:
            from .proxy import GenerationExecutorProxy
            return GenerationExecutorProxy(worker_kwargs, model_world_size=model_world_size, mpi_session=mpi_session)

    @staticmethod
    def create(engine: str, model_world_size: int = 1, world_size: int = 0, mpi_session: Optional[MpiSession] = None,
               reuse_mpi_comm: bool = False, return_logits: bool = False):
        if world_size == 0:
            world_size = mpi_world_size()
        if world_size > 1 and world_size < model_world_size:
            raise RuntimeError(f"The engine is for {model_world_size} ranks, and there are {world_size}.")
        worker_kwargs = {"engine": engine}

        mpirun_launch = external_mpi_comm_available(model_world_size)
        spawn_workers = need_spawn_mpi_workers(model_world_size)
        if spawn_workers or (mpirun_launch and reuse_mpi_comm):
            return GenerationExecutor._create_ipc_executor(worker_kwargs, model_world_size=model_world_size,
                                                           mpi_session=mpi_session, use_worker=False)

        if return_logits or enable_worker_single_process_for_tp1():
            logger.warning("One process does everything: streaming may be slower.")
            return GenerationExecutor._create_ipc_executor(worker_kwargs, model_world_size=model_world_size,
                                                           mpi_session=mpi_session, use_worker=True)

        # One GPU: a worker of its own, found through MPI unless this is Windows.
        if not platform.system() == 'Windows':
            return GenerationExecutor._create_ipc_executor(
                worker_kwargs,
                model_world_size=model_world_size,
                mpi_session=None,  # use mpi4py
                use_worker=False)
        else:
            ctx = multiprocessing.get_context("spawn")
            mpi_session = ProcessPoolExecutorSession(n_workers=1, mp_context=ctx)
            return GenerationExecutor._create_ipc_executor(
                worker_kwargs,
                model_world_size=model_world_size,
                mpi_session=mpi_session,
                use_worker=False)
