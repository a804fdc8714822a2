"""Where jobs run: a Slurm cluster or this machine, both through submitit; what each says of a job.

submitit gives a job to Slurm as a batch script, or starts it here under a process that outlives us. What became of a
job we ask Slurm and /proc ourselves: whoever follows a fleet may be another process than the one that submitted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from trtllm_builder.ci.node import NodeJob
from trtllm_builder.errors import HostError
from trtllm_builder.process import apart, is_alive, read_stat, run
from trtllm_builder.text import clean

State = Literal["waiting", "running", "ended", "cancelled", "lost", "unknown"]
# On our own machine nobody ends a job for its time; in minutes.
_FOR_EVER = 30 * 24 * 60
_PATIENCE = 20.0
# So many seconds before its end Slurm warns a job (node.py), which then stops so that it can be gone on with.
_WARNED = 240
# squeue(1), JOB STATE CODES
_SLURM: Mapping[str, State] = {
    "PENDING": "waiting", "CONFIGURING": "waiting", "REQUEUED": "waiting", "REQUEUE_HOLD": "waiting",
    "REQUEUE_FED": "waiting", "SPECIAL_EXIT": "waiting", "RESV_DEL_HOLD": "waiting",
    "RUNNING": "running", "COMPLETING": "running", "SUSPENDED": "running", "STOPPED": "running",
    "SIGNALING": "running", "STAGE_OUT": "running", "RESIZING": "running",
    "COMPLETED": "ended", "FAILED": "ended", "CANCELLED": "cancelled", "REVOKED": "cancelled",
    "TIMEOUT": "lost", "DEADLINE": "lost", "PREEMPTED": "lost", "NODE_FAIL": "lost", "BOOT_FAIL": "lost",
    "OUT_OF_MEMORY": "lost",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What a job asks for; ``memory`` in bytes, ``seconds`` at most, 0 for the cluster's own limit."""

    cores: int
    memory: int
    seconds: float


@dataclass(frozen=True)
class Handle:
    """A job: Slurm's number, or a process and its start (clock ticks)."""

    job: str
    start: int = 0


@dataclass(frozen=True)
class JobState:
    """``told`` are the cluster's own words; ``node`` is empty when it does not say."""

    state: State
    told: str = ""
    node: str = ""


class Refused(Exception):
    """The cluster did not take a job; the text is what it said."""


class Cluster(Protocol):
    """Two kinds exist: a Slurm cluster and this machine."""

    def submit(self, name: str, job: NodeJob, size: Size, logs: Path) -> Handle:
        """Raises Refused; HostError when there is no such cluster here."""

    def states(self, handles: Sequence[Handle]) -> dict[Handle, JobState]:
        """Of every handle; ``unknown`` when the cluster does not answer."""

    def cancel(self, handle: Handle) -> None:
        """End the job, so that it can be gone on with. No error when it is gone."""


@dataclass(frozen=True)
class Local:
    """This machine."""

    def submit(self, name: str, job: NodeJob, size: Size, logs: Path) -> Handle:
        def start() -> str:
            # A session of its own: Ctrl-C in our terminal is not meant for it, and neither is our end.
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            return _submit("local", job, logs, {"name": name, "timeout_min": _FOR_EVER})

        try:
            pid = apart(start)
        except RuntimeError as error:
            raise Refused(str(error)) from None
        stat = read_stat(int(pid))
        return Handle(pid, stat.start if stat else 0)

    def states(self, handles: Sequence[Handle]) -> dict[Handle, JobState]:
        alive = {handle: is_alive(int(handle.job), handle.start) for handle in handles}
        return {one: JobState("running") if alive[one] else JobState("ended", "its process is gone") for one in handles}

    def cancel(self, handle: Handle) -> None:
        if is_alive(int(handle.job), handle.start):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(handle.job), signal.SIGTERM)


@dataclass(frozen=True)
class Slurm:
    """The cluster that sbatch speaks to. ``options`` are further ones of sbatch: partition, account, exclude..."""

    options: Mapping[str, str]

    def submit(self, name: str, job: NodeJob, size: Size, logs: Path) -> Handle:
        asked = {
            "job_name": name,
            "cpus_per_task": size.cores,
            # Since Slurm 22.05 srun does not take it from sbatch, and a step has one core.
            "srun_args": [f"--cpus-per-task={size.cores}"],
            "mem": f"{max(1, size.memory // 2**20)}M",
            # None is not asked for: a job longer than its partition allows would wait for ever.
            "time": max(1, int(size.seconds // 60)) if size.seconds else None,
            "signal_delay_s": min(_WARNED, int(size.seconds // 4)) if size.seconds else _WARNED,
            # Slurm itself starts a job again whose node failed.
            "additional_parameters": {"requeue": True, **self.options},
        }
        return Handle(_submit("slurm", job, logs, asked))

    def states(self, handles: Sequence[Handle]) -> dict[Handle, JobState]:
        # Not by --jobs: squeue ends with an error for a number that it has forgotten.
        known = _squeue()
        if isinstance(known, str):
            return {handle: JobState("unknown", known) for handle in handles}
        return {handle: known.get(handle.job, JobState("ended", "Slurm knows it no more")) for handle in handles}

    def cancel(self, handle: Handle) -> None:
        with contextlib.suppress(OSError):
            run(["scancel", handle.job], env=os.environ, timeout=_PATIENCE)


def _squeue() -> dict[str, JobState] | str:
    """All of the user's jobs that Slurm remembers, by number; a text when it does not answer."""
    argv = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%N|%r"]
    try:
        done = run(argv, env=os.environ, timeout=_PATIENCE)
    except OSError as error:
        return f"squeue cannot be run: {error.strerror or error}"
    if not done.ok:
        return f"squeue: {'no answer' if done.timed_out else done.last_line}"
    found = {}
    for line in done.stdout.splitlines():
        number, _, rest = line.partition("|")
        state, _, rest = rest.partition("|")
        node, _, reason = rest.partition("|")
        told = state.lower() + (f" ({reason})" if reason not in ("", "None") else "")
        found[number.strip()] = JobState(_SLURM.get(state.strip(), "unknown"), told, node.strip())
    return found


def _submit(cluster: Literal["slurm", "local"], job: NodeJob, logs: Path, asked: Mapping[str, Any]) -> str:
    try:
        import submitit
    except ModuleNotFoundError:
        raise HostError(
            "fleets need submitit, which is not installed",
            remedy="run: python -m pip install -e '.[cluster]' in your clone of trtllm-builder",
        ) from None
    logs.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            executor = submitit.SlurmExecutor(logs) if cluster == "slurm" else submitit.LocalExecutor(logs)
            executor.update_parameters(**asked)
            return str(executor.submit(job).job_id)
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        if "srun" in str(error) and "detect" in str(error):
            raise HostError("there is no Slurm here: srun is not on PATH", remedy="give --cluster local") from None
        told = [line.strip() for line in clean(str(error)).splitlines() if line.strip()]
        raise Refused(_reason(told)) from None


def _reason(lines: Sequence[str]) -> str:
    """What sbatch itself said, of all that submitit says around it."""
    said = [line.removeprefix("sbatch: error: ") for line in lines if line.startswith(("sbatch:", "slurm"))]
    return "; ".join(dict.fromkeys(said)) or (lines[-1] if lines else "no reason was given")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """submitit warns of what we do not ask it for (sacct), and of sockets it leaves to be collected; what sbatch said
    it prints, and raises."""
    import io
    import warnings

    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
