"""Whether importing the package, its first answer or its server would touch MPI, read from the Python alone."""
