"""Ends a run from another process: politely, then surely, and never a process that is not the run's."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.state import Process, RunState, run_state
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError
from trtllm_builder.process import end_group, group_members, processes, read_stat

# Ending upstream's build takes the run itself up to ten seconds, when a compiler does not listen.
GRACE = 30.0
_POLL = 0.05


@dataclass(frozen=True)
class Stopped:
    """``before`` is the state that was found; ``killed`` when the run did not end within the grace period, or was dead
    already and had left its build running."""

    before: RunState
    after: RunState
    killed: bool


def stop(entry: RunEntry, *, grace: float = GRACE) -> Stopped:
    """SIGTERM to the run's own process, and after ``grace`` seconds SIGKILL to it and all that it started. A run that
    is over is left as it is, but for a build that a dead one left behind. Raises HostError when it is not ours to end.
    """
    before = run_state(entry)
    if before.state == "died":
        return Stopped(before, before, _end_left(entry, before))
    supervisor = before.supervisor
    if before.state != "running" or supervisor is None:
        return Stopped(before, before, False)
    _signal(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while supervisor.alive and time.monotonic() < deadline:
        time.sleep(_POLL)
    killed = supervisor.alive
    if killed:
        _kill_all(supervisor)
        _end_left(entry, before)
        _note(entry)
    return Stopped(before, run_state(entry), killed)


def _signal(process: Process, number: signal.Signals) -> None:
    # Between this look and the signal the number would have to be given away and taken again.
    if not process.alive:
        return
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise HostError(
            f"process {process.pid} of this run belongs to somebody else", remedy="stop it as the user who started it"
        ) from None


def _kill_all(supervisor: Process) -> None:
    """The process, what it started, and the sessions that those lead."""
    living = processes()
    own = living.get(supervisor.pid)
    family = {supervisor.pid}
    while more := {pid for pid, stat in living.items() if stat.parent in family} - family:
        family |= more
    sessions = {living[pid].session for pid in family if pid in living} - {own.session if own else 0}
    _signal(supervisor, signal.SIGKILL)
    for session in sessions:
        end_group(session, grace=1.0)
    for pid in family - {supervisor.pid}:
        with suppress(HostError):
            _signal(Process(pid, living[pid].start), signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while supervisor.alive and time.monotonic() < deadline:
        time.sleep(_POLL)
    if supervisor.alive:
        raise HostError(
            f"process {supervisor.pid} did not end on SIGKILL",
            remedy="it waits for a device or disk; try again later",
        )


def _end_left(entry: RunEntry, state: RunState) -> bool:
    """End what a dead run left running; whether there was anything. Who takes the workspace's lock does just that."""
    if state.child is None or not entry.workspace.is_dir():
        return False
    leader = read_stat(state.child.pid)
    was = bool(group_members(state.child.pid)) and (leader is None or leader.start == state.child.start)
    # Busy: another run has the workspace, and ended what was left when it began.
    with suppress(HostError), Workspace(entry.workspace).locked():
        pass
    return was


def _note(entry: RunEntry) -> None:
    """It had no time to say itself how it ended."""
    with suppress(HostError), Workspace(entry.workspace).locked():
        state = run_state(entry)
        if state.state == "died":
            Workspace(entry.workspace).journal.append(
                "interrupted", run=entry.identifier, stage=state.stage, signal=int(signal.SIGKILL)
            )
