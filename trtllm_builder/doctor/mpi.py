"""MPI and its process manager, judged: why NVIDIA's own wheel hangs in a container."""

from __future__ import annotations

import shlex

from trtllm_builder.doctor.facts import Mpi
from trtllm_builder.doctor.finding import Finding, ok, warn


def mpi_findings(mpi: Mpi, *, container: bool | None, cure: str) -> list[Finding]:
    """mpi. ``cure`` is what to do instead of a multi-device wheel."""
    have = ", ".join(filter(None, (mpi.mpirun, *mpi.libraries))) or "no MPI"
    if mpi.launched_by:
        return [ok("mpi", f"started by an MPI launcher ({mpi.launched_by} is set); {have}")]
    if mpi.initialised is not None:
        return [ok("mpi", f"MPI starts here, in {mpi.initialised:.1f} s ({have})")]
    if mpi.init_why:
        told = f"MPI does not start here: MPI_Init was tried, and {mpi.init_why} ({have}; {manager(mpi)})"
        return [warn("mpi", f"{told}. A multi-device wheel (NVIDIA's own) hangs or fails when it is imported", cure)]
    if container is None and not mpi.manager:
        return [warn("mpi", f"{have}; {manager(mpi)}. Whether MPI starts here is not known: nor is the system", cure)]
    if mpi.manager or not container:
        return [ok("mpi", f"{have}; {manager(mpi)}. A single-device wheel needs none")]
    told = f"{have}, and {manager(mpi)} in this container: a multi-device wheel (NVIDIA's own) fails or hangs at import"
    return [warn("mpi", told, cure)]


def manager(mpi: Mpi) -> str:
    """Whether a process manager can be seen."""
    return "/run/pmix is here" if mpi.manager else "no /run/pmix"


def stop_gap(mpi: Mpi, *, root: bool) -> str | None:
    """The command that lets a multi-device wheel start here, None where it would hang itself."""
    if mpi.mpirun is None or mpi.ran is None:
        return None
    words = [mpi.mpirun, "-n", "1", *(("--allow-run-as-root",) if root else ()), "--bind-to", "none"]
    return f"{shlex.join(words)} python PROGRAM"
