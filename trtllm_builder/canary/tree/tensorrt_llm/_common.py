import os

from ._utils import mpi_rank
from .bindings import MpiComm
from .logger import logger

net_initialised = False


def _init():
    """Joins the MPI world from C++, once. TRT_LLM_NO_LIB_INIT=1 leaves it out."""
    global net_initialised
    if net_initialised or os.environ.get("TRT_LLM_NO_LIB_INIT") == "1":
        return
    MpiComm.local_init()
    net_initialised = True
    logger.debug("library initialised, rank %d", mpi_rank())
