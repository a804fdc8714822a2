"""Stands where mpi4py stood, so that a wheel built with ENABLE_MULTI_DEVICE=0 touches no MPI.

Put here by trtllm-builder (patch set single-device). With ENABLE_MULTI_DEVICE 1, MPI and pkl5 are mpi4py's own; with 0
they are one process that is alone in its world. Which of the two is asked for on first use, not here: BuildInfo can be
imported only after torch, and this module is imported before it.
"""

import importlib
import os


class SingleProcessGroup:
    """The group of one process."""

    size = 1
    rank = 0

    def Get_size(self):
        return 1

    def Get_rank(self):
        return 0

    def Incl(self, ranks):
        return self

    def Free(self):
        pass


class SingleProcessComm:
    """A communicator of one process: collectives give back what was put in; there is nobody to send to."""

    size = 1
    rank = 0
    group = SingleProcessGroup()

    def __init__(self, comm=None):
        pass

    def Get_size(self):
        return 1

    def Get_rank(self):
        return 0

    def Get_group(self):
        return self.group

    def Barrier(self):
        pass

    barrier = Barrier

    def bcast(self, obj, root=0):
        return obj

    def allreduce(self, obj, op=None):
        return obj

    def reduce(self, obj, op=None, root=0):
        return obj

    def gather(self, obj, root=0):
        return [obj]

    def allgather(self, obj):
        return [obj]

    def scatter(self, objects, root=0):
        (obj,) = objects
        return obj

    def alltoall(self, objects):
        return list(objects)

    def Bcast(self, buffer, root=0):
        pass

    def Split(self, color=0, key=0):
        return self

    def Split_type(self, split_type=0, key=0, info=None):
        return self

    def Create(self, group):
        return self

    def Create_group(self, group, tag=0):
        return self

    def Dup(self, info=None):
        return self

    Clone = Dup

    def Free(self):
        pass

    Disconnect = Free

    def Abort(self, errorcode=0):
        os._exit(errorcode)

    def __getattr__(self, name):
        raise AttributeError(f"{name}: this wheel was built for a single device (ENABLE_MULTI_DEVICE=0), without MPI")


class _SingleProcessMPI:
    Comm = Intracomm = SingleProcessComm
    COMM_WORLD = COMM_SELF = SingleProcessComm()
    COMM_NULL = None
    COMM_TYPE_SHARED = 0
    Exception = RuntimeError

    @staticmethod
    def Is_initialized():
        return False

    @staticmethod
    def Is_finalized():
        return False


class _SingleProcessPkl5:
    Comm = Intracomm = SingleProcessComm


class _Late:
    """A module that is chosen when the first of its names is asked for."""

    def __init__(self, module, stand_in):
        self._module, self._stand_in = module, stand_in

    def __getattr__(self, name):
        from tensorrt_llm.bindings.BuildInfo import ENABLE_MULTI_DEVICE

        if ENABLE_MULTI_DEVICE:
            return getattr(importlib.import_module(self._module), name)
        if not hasattr(self._stand_in, name):
            raise AttributeError(f"{self._module}.{name}: this wheel was built for a single device, without MPI")
        return getattr(self._stand_in, name)


MPI = _Late("mpi4py.MPI", _SingleProcessMPI)
pkl5 = _Late("mpi4py.util.pkl5", _SingleProcessPkl5)
