"""Compilers whose client was killed: nobody waits for them any more, and they would hold memory to their end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from trtllm_builder.process import read_stat

_MARK = b"TRTLLM_BUILDER_GATE="
"""In the environment of all that a client starts, with the client's process number (client.c)."""
_ROUNDS = 5


def is_gone(pid: int) -> bool:
    """Also of one that has ended and whose end nobody has asked for: ninja waits for all who have its pipe."""
    stat = read_stat(pid)
    return stat is None or stat.state in "ZX"


def end_orphans(client: int) -> int:
    """Kill all that ``client``, which is gone, has started, also what was started meanwhile; how many they were. A
    driver that is killed leaves those at work that it called: nvcc leaves cicc or ptxas."""
    wanted = _MARK + str(client).encode()
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = [pid for pid in _pids() if wanted in _environment(pid)]
        if not set(found) - killed:
            break
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(found)
    return len(killed)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _environment(pid: int) -> list[bytes]:
    """As the process was started with (proc_pid_environ(5)); empty for one that is gone, or not ours to look at."""
    try:
        with open(f"/proc/{pid}/environ", "rb", 0) as stream:  # noqa: PTH123
            return stream.read().split(b"\0")
    except OSError:
        return []
