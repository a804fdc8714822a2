"""A build that outlives its terminal: in a session of its own, with nothing of the caller's open."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.process import end_group


@dataclass(frozen=True)
class Away:
    """The process that goes on alone. Until it lets go, whoever started it waits and sees what it prints."""

    handle: int

    def let_go(self, console: Path) -> None:
        """From here on output goes to ``console`` and whoever waits ends well."""
        _flush()
        try:
            output = os.open(console, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            output = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
        # Whoever waited may be gone with the terminal.
        with suppress(OSError):
            os.write(self.handle, b"1")
        os.close(self.handle)


def step_away() -> int | Away:
    """Returns twice, as fork(2) does: an ``Away`` in the process that goes on, which is neither child nor member of the
    session of the caller, and in the caller, once the other let go or ended, the exit status to end with.

    Ctrl-C meanwhile ends the other; a closed terminal or a killed caller does not.
    """
    _flush()
    between = os.fork()
    if between:
        try:
            _, status = os.waitpid(between, 0)
        except KeyboardInterrupt:
            end_group(between)
            raise
        return _exit_status(status)
    os.setsid()
    _close_inherited()
    heard, handle = os.pipe()
    # Forked again, so that it leads no session: a leader that opens a terminal would get it for its own.
    alone = os.fork()
    if alone:
        os.close(handle)
        os._exit(0 if os.read(heard, 1) else _exit_status(os.waitpid(alone, 0)[1]))
    os.close(heard)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return Away(handle)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _close_inherited() -> None:
    for name in [entry.name for entry in Path("/proc/self/fd").iterdir()]:
        if int(name) > 2:
            with suppress(OSError):
                os.close(int(name))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
