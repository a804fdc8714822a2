"""All facts at once, each asked in its own thread, none waited for beyond the deadline."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trtllm_builder.doctor import machine_facts, program_facts
from trtllm_builder.doctor.facts import Facts, Program
from trtllm_builder.doctor.network import ask_network
from trtllm_builder.host.interpreters import find_python
from trtllm_builder.host.system import read_system
from trtllm_builder.process import end_group, read_stat
from trtllm_builder.text import clean
from trtllm_builder.verify.watch import children

# Seconds since this process was started, at which no answer is waited for any more; the rest of five is for judging.
_UNTIL = 4.2
_LEAST = 2.0  # seconds that there are always
_LEAST_WITH_MPIRUN = 5.2  # seconds; mpirun itself gets five
_LIMIT = 3.0  # seconds for one program
_DRAIN = 0.4  # seconds in which whatever a late question still starts is ended at once


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


def start(asked: Asked, *, limit: float | None = None, plan: Callable[[], object] = lambda: None) -> Gathering:
    """Begins to ask; ``finish()`` of what it returns has the facts. Meanwhile the caller may do something else.

    ``limit`` in seconds, what is left of five after our own start unless given; a little more than five when
    mpirun is tried. ``plan`` is one more question.
    """
    environ, root = asked.environ, asked.root
    questions: dict[str, Callable[[], object]] = {
        "machine": lambda: machine_facts.read_machine(environ, root),
        "system": lambda: read_system(environ, None, root, timeout=_LIMIT),
        "interpreter": lambda: find_python(asked.python, environ),
        "privileges": lambda: machine_facts.read_privileges(environ, root),
        "mpi": lambda: program_facts.read_mpi(environ, root, try_mpirun=asked.try_mpirun),
        "graphics": lambda: machine_facts.read_graphics(environ, root),
        **{name: partial(program_facts.read_program, name, environ) for name in program_facts.PROGRAMS},
        "toolkits": lambda: program_facts.read_toolkits(environ),
        "cache": lambda: program_facts.try_cache(environ, asked.cuda_root, asked.cuda_range),
        "network": lambda: ask_network(asked.urls, asked.mirrors, environ),
        "commands": lambda: program_facts.find_commands(environ),
        "plan": plan,
    }
    least = _LEAST_WITH_MPIRUN if asked.try_mpirun else _LEAST
    return Gathering(questions, limit or max(least, _UNTIL - _running_for()))


class Gathering:
    """Questions under way. The programs that late ones wait for are ended; a thread that hangs by itself is left."""

    def __init__(self, questions: Mapping[str, Callable[[], object]], limit: float) -> None:
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

    def finish(self) -> tuple[Facts, Any]:
        """The facts, and the answer about the plan, when the time is up or before.

        What a machine can do to a question is a fact without an answer; raises what is a fault of ours.
        """
        for thread in self._threads.values():
            thread.join(max(0.0, self._until - time.monotonic()))
        late = tuple(name for name, thread in self._threads.items() if thread.is_alive())
        answers = {name: answer for name, answer in dict(self._answers).items() if name not in late}
        faults = dict(self._faults)
        hung = self._end_programs() if late else ()
        for fault in faults.values():
            if not isinstance(fault, (OSError, ValueError, ImportError, MemoryError)):
                raise fault
        failed = {name: _told(fault) for name, fault in faults.items()}
        plan = answers.pop("plan", None)
        programs = tuple(answers.pop(name) for name in self._threads if isinstance(answers.get(name), Program))
        if programs:
            answers["programs"] = programs
        return Facts(**answers, late=late, hung=hung, failed=failed), plan

    def _end_programs(self) -> tuple[str, ...]:
        """Also tells the late threads to stop, which they do when the program they wait for has ended."""
        ended: dict[str, None] = {}
        until = time.monotonic() + _DRAIN
        for thread in self._threads.values():
            if thread.is_alive():
                # No question may start another program now. This is CPython's own way to interrupt a thread.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
                )
        while any(thread.is_alive() for thread in self._threads.values()) and time.monotonic() < until:
            for pid, _ in children(os.getpid()) - self._before:
                ended.setdefault(_called(pid))
                end_group(pid, grace=0)
            time.sleep(0.01)
        return tuple(name for name in ended if name)

    def _ask(self, name: str, question: Callable[[], object]) -> None:
        try:
            self._answers[name] = question()
        except SystemExit:
            return  # told to stop
        except Exception as error:  # noqa: BLE001 - raised again where the caller is
            self._faults[name] = error


def _told(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.strerror}{f': {fault.filename}' if fault.filename else ''}"
    return clean(" ".join(str(fault).split()))[:200] or type(fault).__name__


def _running_for() -> float:
    """Seconds since this process was started: importing ourselves from a slow disk counts too."""
    own = read_stat(os.getpid())
    started = own.start / os.sysconf("SC_CLK_TCK") if own else 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _called(pid: int) -> str:
    """The first words of its command line, empty for one that has none left."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return clean(" ".join(words[:3])).strip()
