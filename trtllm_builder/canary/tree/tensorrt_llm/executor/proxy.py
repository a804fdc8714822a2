from typing import Dict, Optional

from ..llmapi.mpi_session import MpiPoolSession, MpiSession
from .executor import GenerationExecutor
from .worker import worker_main, worker_submit


class GenerationExecutorProxy(GenerationExecutor):
    """Hands prompts to a worker in another process."""

    def __init__(self, worker_kwargs: Dict, model_world_size: int = 1, mpi_session: Optional[MpiSession] = None):
        if mpi_session is None:
            self.mpi_session = MpiPoolSession(n_workers=model_world_size)
        else:
            self.mpi_session = mpi_session
        for future in self.mpi_session.submit(worker_main, **worker_kwargs):
            future.result()

    def submit(self, prompt: str) -> str:
        return self.mpi_session.submit(worker_submit, prompt)[0].result()

    def shutdown(self):
        self.mpi_session.shutdown()
