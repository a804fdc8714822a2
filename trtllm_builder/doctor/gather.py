"""All facts at once, each asked in its own thread, none waited for beyond the deadline."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trtllm_builder.doctor import machine_facts, program_facts
from trtllm_builder.doctor.facts import Facts
from trtllm_builder.doctor.network import ask_network
from trtllm_builder.host.interpreters import find_python
from trtllm_builder.host.system import read_system
from trtllm_builder.process import end_group
from trtllm_builder.verify.watch import children

_LIMIT = 4.0  # seconds
_LIMIT_WITH_MPIRUN = 5.5  # seconds; mpirun itself gets five


@dataclass(frozen=True)
class Asked:
    """What the facts depend on. ``cuda_root`` and ``cuda_range`` as a profile says them; ``urls`` are tried in order,
    ``mirrors`` when the first does not answer. ``try_mpirun``: run ``mpirun -n 1 true``."""

    environ: Mapping[str, str]
    python: str = "host"
    cuda_root: str = "auto"
    cuda_range: str = ""
    urls: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    try_mpirun: bool = False
    root: Path = Path("/")


def start(asked: Asked, *, limit: float | None = None) -> Gathering:
    """Begins to ask; ``finish()`` of what it returns has the facts. Meanwhile the caller may do something else.

    ``limit`` in seconds, four unless given, or five and a half when mpirun is tried.
    """
    environ, root = asked.environ, asked.root
    questions: dict[str, Callable[[], object]] = {
        "machine": lambda: machine_facts.read_machine(environ, root),
        "system": lambda: read_system(environ, None, root),
        "interpreter": lambda: find_python(asked.python, environ),
        "privileges": lambda: machine_facts.read_privileges(environ, root),
        "mpi": lambda: program_facts.read_mpi(environ, root, try_mpirun=asked.try_mpirun),
        "graphics": lambda: machine_facts.read_graphics(environ, root),
        "programs": lambda: program_facts.read_programs(environ),
        "toolkits": lambda: program_facts.read_toolkits(environ),
        "cache": lambda: program_facts.try_cache(environ, asked.cuda_root, asked.cuda_range),
        "network": lambda: ask_network(asked.urls, asked.mirrors, environ),
        "commands": lambda: program_facts.find_commands(environ),
    }
    return Gathering(questions, limit or (_LIMIT_WITH_MPIRUN if asked.try_mpirun else _LIMIT))


class Gathering:
    """Questions under way. Threads of those that never answer are left; the programs they wait for are ended."""

    def __init__(self, questions: Mapping[str, Callable[[], object]], limit: float) -> None:
        assert set(questions) <= {field.name for field in fields(Facts)}  # noqa: S101
        self._answers: dict[str, Any] = {}
        self._faults: dict[str, Exception] = {}
        self._before = children(os.getpid())
        self._until = time.monotonic() + limit
        self._threads = {
            name: threading.Thread(target=self._ask, args=(name, question), name=f"doctor-{name}", daemon=True)
            for name, question in questions.items()
        }
        for thread in self._threads.values():
            thread.start()

    def finish(self) -> Facts:
        """The facts, at the latest when the time is up. Raises what a question raised."""
        for thread in self._threads.values():
            thread.join(max(0.0, self._until - time.monotonic()))
        late = tuple(name for name, thread in self._threads.items() if thread.is_alive())
        if late:
            for pid, _ in children(os.getpid()) - self._before:
                end_group(pid, grace=0)
        for fault in self._faults.values():
            raise fault
        return Facts(**{name: value for name, value in dict(self._answers).items() if name not in late}, late=late)

    def _ask(self, name: str, question: Callable[[], object]) -> None:
        try:
            self._answers[name] = question()
        except Exception as error:  # noqa: BLE001 - raised again where the caller is
            self._faults[name] = error
