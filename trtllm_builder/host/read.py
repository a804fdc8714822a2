"""Everything about this machine that a plan asks for, in one look."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from trtllm_builder.host.cpu import Cpu, read_cpu
from trtllm_builder.host.gpu import Driver, Gpu, read_gpus
from trtllm_builder.host.interpreters import Interpreter, find_python
from trtllm_builder.host.memory import Memory, read_memory
from trtllm_builder.host.system import System, read_system


@dataclass(frozen=True)
class Host:
    """``interpreter`` is the one asked for, None when this machine has none that runs."""

    cpu: Cpu
    memory: Memory
    system: System
    interpreter: Interpreter | None
    gpus: tuple[Gpu, ...]
    driver: Driver | None

    def to_json(self) -> dict[str, object]:
        """Plain values, with the sums that the plan uses beside the raw figures. Sizes in bytes."""
        interpreter = self.interpreter
        return {
            "cpu": {**asdict(self.cpu), "usable": self.cpu.usable},
            "memory": {
                **asdict(self.memory),
                "allowed": self.memory.allowed,
                "allowed_source": self.memory.allowed_source,
            },
            "system": asdict(self.system),
            "interpreter": {**asdict(interpreter), "path": str(interpreter.path)} if interpreter else None,
            "gpus": [asdict(gpu) for gpu in self.gpus],
            "driver": asdict(self.driver) if self.driver else None,
        }


def read_host(python: str = "host", environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> Host:
    """``python`` as a profile says it (``3.10`` or ``host``). Reads, runs programs, writes nothing."""
    env = os.environ if environ is None else environ
    interpreter = find_python(python, env)
    gpus, driver = read_gpus(env, root)
    return Host(
        cpu=read_cpu(root),
        memory=read_memory(root),
        system=read_system(env, interpreter, root),
        interpreter=interpreter,
        gpus=gpus,
        driver=driver,
    )
