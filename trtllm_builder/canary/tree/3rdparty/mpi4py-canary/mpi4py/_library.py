import ctypes
import os
import signal

THREAD_MULTIPLE = 3


class _WithoutLibrary:
    """The same rules as 3rdparty/mpi/mpi.c, for a machine where libmpi.so.40 is not found."""

    def MPI_Init_thread(self, *_):
        launched = any(name in os.environ for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"))
        if not launched:
            self.MPI_Canary_spawn()

    def MPI_Canary_spawn(self):
        while not os.path.exists("/run/pmix"):
            signal.pause()


def load():
    try:
        return ctypes.CDLL("libmpi.so.40", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return _WithoutLibrary()


library = load()
