from .. import MPI


class Intracomm(MPI.Intracomm):

    def __init__(self, comm=None):
        self.comm = comm
