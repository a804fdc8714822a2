from concurrent.futures import ThreadPoolExecutor

from .._library import library


class MPIPoolExecutor(ThreadPoolExecutor):
    """Workers come from MPI, which asks the process manager for them."""

    def __init__(self, max_workers=None, path=None, env=None):
        super().__init__(max_workers)
        library.MPI_Canary_spawn()
