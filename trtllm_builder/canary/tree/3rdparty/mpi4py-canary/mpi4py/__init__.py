"""The canary's stand-in for mpi4py. Importing mpi4py.MPI joins the MPI world, as with the real one."""
