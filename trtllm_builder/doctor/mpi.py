"""MPI and its process manager, judged: why NVIDIA's own wheel hangs in a container."""

from __future__ import annotations

import shlex

from trtllm_builder.doctor.facts import Mpi
from trtllm_builder.doctor.finding import Finding, ok, warn

_WAITS = (
    "a multi-device wheel (NVIDIA's own) waits for ever, at import or at first use, since no process manager answers"
)


def mpi_findings(mpi: Mpi, *, container: bool, cure: str) -> list[Finding]:
    """pmix and mpi. ``cure`` is what to do instead of a multi-device wheel."""
    have = ", ".join(filter(None, (mpi.mpirun, *mpi.libraries))) or "no MPI"
    if mpi.launched_by:
        return [ok("mpi", f"started by an MPI launcher ({mpi.launched_by} is set); {have}")]
    if mpi.manager:
        return [ok("mpi", f"/run/pmix is here; {have}")]
    if not container:
        return [ok("mpi", f"no /run/pmix, and no container either; {have}. A single-device wheel needs none of it")]
    return [warn("mpi", f"no /run/pmix in this container ({have}): {_WAITS}", cure)]


def stop_gap(mpi: Mpi, *, root: bool) -> str | None:
    """The command that lets a multi-device wheel start here, None where it would hang itself."""
    if mpi.mpirun is None or mpi.ran is None:
        return None
    words = [mpi.mpirun, "-n", "1", *(("--allow-run-as-root",) if root else ()), "--bind-to", "none"]
    return f"{shlex.join(words)} python PROGRAM"
