from concurrent.futures import ProcessPoolExecutor

from ..llmapi.mpi_session import MpiSession


class ProcessPoolExecutorSession(MpiSession):
    """Workers from the standard library's process pool, for one GPU and no MPI."""

    def __init__(self, n_workers: int, **kwargs):
        self.n_workers = n_workers
        self.mpi_pool = ProcessPoolExecutor(max_workers=self.n_workers, **kwargs)

    def submit(self, task, *args, **kwargs):
        return [self.mpi_pool.submit(task, *args, **kwargs) for _ in range(self.n_workers)]

    def shutdown(self):
        self.mpi_pool.shutdown(wait=True)
