"""What the doctor looks at. Facts only, so that those of another machine can be judged too: see ``from_json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from trtllm_builder.host.cpu import Cpu
from trtllm_builder.host.disk import Disk
from trtllm_builder.host.driver import CudaDriver
from trtllm_builder.host.gpu import Driver, Gpu
from trtllm_builder.host.interpreters import Interpreter
from trtllm_builder.host.memory import Memory
from trtllm_builder.host.system import System


@dataclass(frozen=True)
class Place:
    """A directory that matters, and the disk it is on. ``role``: system, data disk of AutoDL, cache, temporary."""

    role: str
    directory: str
    disk: Disk


@dataclass(frozen=True)
class Machine:
    """``oom_groups``: cgroups with memory.oom.group set. ``shm`` None: there is no /dev/shm. ``provider``: by what its
    containers have, None when unknown."""

    cpu: Cpu
    cores: int
    memory: Memory
    oom_groups: tuple[str, ...]
    kernel: str
    shm: Disk | None
    places: tuple[Place, ...]
    provider: str | None = None


@dataclass(frozen=True)
class Privileges:
    """``capabilities`` is the effective set; ``namespaces`` is why none can be made here, empty when they can."""

    user: int
    capabilities: int
    no_new_privileges: bool
    namespaces: str = ""


@dataclass(frozen=True)
class Mpi:
    """``manager``: /run/pmix is there. ``launched_by``: a variable that mpirun or srun sets. ``libraries``: what the
    loader knows of MPI. ``initialised``: seconds that MPI_Init took in a process of its own, None when it failed or did
    not come back (then ``init_why``), or there is no library. ``ran``: the same of ``mpirun -n 1 true``, which is only
    tried when it matters."""

    manager: bool = False
    launched_by: str | None = None
    mpirun: str | None = None
    libraries: tuple[str, ...] = ()
    initialised: float | None = None
    init_why: str = ""
    ran: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Graphics:
    """``driver`` and ``gpus`` are nvidia-smi's, ``cuda`` is what a program finds. ``nodes``: device files.
    ``asked_for``: NVIDIA_VISIBLE_DEVICES, which images made for GPUs set; ``visible``: CUDA_VISIBLE_DEVICES, which
    hides the others."""

    gpus: tuple[Gpu, ...] = ()
    driver: Driver | None = None
    cuda: CudaDriver = field(default_factory=CudaDriver)
    nodes: tuple[str, ...] = ()
    asked_for: str | None = None
    visible: str | None = None


@dataclass(frozen=True)
class Program:
    """A tool of the build: the machine's, or the one that we bring. ``version`` None: it is not here or not fit."""

    name: str
    version: str | None
    reason: str


@dataclass(frozen=True)
class CudaToolkit:
    """``version`` None: ``unfit`` says why it cannot be used."""

    root: str
    version: str | None
    unfit: str = ""


@dataclass(frozen=True)
class CompileCache:
    """Whether one nvcc call was really cached. ``cached`` None: not tried, and ``why``. Times in seconds."""

    cached: bool | None
    why: str = ""
    first: float | None = None
    second: float | None = None


@dataclass(frozen=True)
class Reach:
    """Whether ``host`` took a connection (TCP alone). ``seconds`` None: it did not, and ``why``."""

    what: str
    host: str
    seconds: float | None
    why: str = ""


@dataclass(frozen=True)
class Command:
    """A ``trtllm-build`` on PATH. ``whose``: ours, TensorRT-LLM's engine compiler, or unknown."""

    path: str
    whose: str


@dataclass(frozen=True)
class Facts:
    """None is what could not be found out. ``late`` names what took too long, ``hung`` the programs that were waited
    for; ``failed`` has the reason for what could not be read."""

    machine: Machine | None = None
    system: System | None = None
    interpreter: Interpreter | None = None
    privileges: Privileges | None = None
    mpi: Mpi | None = None
    graphics: Graphics | None = None
    programs: tuple[Program, ...] | None = None
    toolkits: tuple[CudaToolkit, ...] | None = None
    cache: CompileCache | None = None
    network: tuple[Reach, ...] | None = None
    commands: tuple[Command, ...] | None = None
    late: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which ``from_json`` makes the same facts."""
        shown: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return shown

    def unknown(self, fact: str) -> str:
        """Why ``fact`` is not known, empty when nothing went wrong with it."""
        return "no answer in time" if fact in self.late else self.failed.get(fact, "")


def from_json(document: dict[str, Any]) -> Facts:
    """The facts of ``doctor --json`` elsewhere. Raises ValueError for what they cannot be."""
    return _adapter().validate_python(document)


@cache
def _adapter() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)
