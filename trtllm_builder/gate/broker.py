"""Lets compilers start: a thread that listens on a socket, knows who runs and who waits, and asks the policy.

A connection is a token. Who stands at its other end is asked of the kernel (SO_PEERCRED, unix(7)), what it is about to
run is read from /proc; nothing that a client says can promise it more. The protocol is in client.c.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from trtllm_builder.gate.decisions import Decisions
from trtllm_builder.gate.door import caller, has_told, listen, say
from trtllm_builder.gate.held import held
from trtllm_builder.gate.job import Job, Judge, Killed
from trtllm_builder.gate.launcher import BROKER
from trtllm_builder.gate.orphans import end_orphans, is_gone
from trtllm_builder.gate.policy import Budget, Policy, Running, Waiting, admit
from trtllm_builder.host.kills import Kills, read_kills, rise

_GO, _WAIT, _KEEP, _AGAIN, _END = b"g", b"w", b"k", b"r", b"e"
# Seconds. Looking at all compilers takes at most one part in so many of the time.
_TICK, _LONGEST_TICK, _LEISURE = 0.5, 5.0, 300
# A look is good for so long: those that come together are judged by one.
_FRESH = 0.1


class Broker:
    """Serves from ``with`` to its end. ``read_budget`` says what is free at a moment of ``clock``; like ``judge`` and
    ``kills`` it is asked in the broker's thread.

    ``waiting`` has the processes of the clients that wait at the moment, ``short`` how many of them do so for memory
    and not for a core; ``waited`` the seconds that each file's compiler has waited; ``killed`` those that no retry
    saved: once there is one, nobody is let in any more. ``again`` is how many were tried once more; ``lost`` those
    whose client was killed: what it had started is ended. ``failure`` is set when the thread died of a fault of ours;
    connections are closed then, and clients go by their slots. Entering raises OSError when there can be no socket in
    ``directory``.
    """

    def __init__(
        self,
        directory: Path,
        logs: Path,
        *,
        policy: Policy,
        judge: Judge,
        read_budget: Callable[[float], Budget],
        kills: Callable[[], Kills] = read_kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting: frozenset[int] = frozenset()
        self.short = 0
        self.waited: dict[str, float] = {}
        self.killed: tuple[Killed, ...] = ()
        self.again = 0
        self.lost: tuple[str, ...] = ()
        self.failure: Exception | None = None
        self._directory = directory
        self._decisions = Decisions(logs)
        self._policy = policy
        self._judge = judge
        self._read_budget = read_budget
        self._kills = kills
        self._clock = clock
        self._jobs: dict[int, Job] = {}
        self._next = 1
        self._budget = Budget(0, 0)
        self._looked = self._noted = float("-inf")
        self._pause = _TICK
        self._thread = threading.Thread(target=self._serve, name="gate", daemon=True)

    def __enter__(self) -> Broker:
        self._selector = selectors.DefaultSelector()
        self._listener = listen(self._directory)
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._decisions.note("opened")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._stop.send(b"s")
        self._thread.join()
        self._stop.close()

    def _serve(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for us any more
            self.failure = error
        finally:
            for job in self._jobs.values():
                job.connection.close()
            self._selector.close()
            self._listener.close()
            with suppress(OSError):
                (self._directory / BROKER).unlink()
            self._stopped.close()
            self.waiting, self.short = frozenset(), 0
            self._decisions.flush()

    def _turn(self) -> bool:
        """Wait for something to happen, and do what follows from it; False when it is time to stop."""
        due = self._looked + self._pause - self._clock()
        changed = stopping = False
        for key, _ in self._selector.select(max(0.0, min(due, _LONGEST_TICK)) if self._jobs else None):
            if key.fileobj is self._stopped:
                stopping = True
            elif key.fileobj is self._listener:
                changed = True
                self._accept()
            else:
                changed = True
                self._hear(key.data)
        if stopping:
            self._find_lost()
            return False
        now = self._clock()
        if not self._jobs:
            self._decisions.flush()
        elif now - self._looked >= self._pause:
            self._look(now)
            self._decide(now)
            self._keep_waiting()
            self._decisions.flush()
        elif changed and any(job.line for job in self._jobs.values()):
            if now - self._looked >= _FRESH:
                self._look(now)
            else:
                # What was just given back is not in that look yet.
                self._pause = _FRESH
            self._decide(now)
        line = [job for job in self._jobs.values() if job.line is not None]
        self.waiting = frozenset(job.who.pid for job in line)
        self.short = sum(job.told not in ("", "slots") for job in line)
        return True

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                try:
                    admitted = self._admit(connection)
                except BaseException:
                    connection.close()
                    raise
                if not admitted:
                    connection.close()

    def _admit(self, connection: socket.socket) -> bool:
        """Whether it is a client of ours; it stands in the line then."""
        who = caller(connection)
        if who is None:
            return False
        now, number = self._clock(), self._next
        self._next += 1
        task = self._judge.read(who.argv, who.directory)
        weight = self._judge.weigh(task)
        self._jobs[number] = Job(number, connection, who, task, now, weight, weight, Waiting(number, weight, now))
        self._selector.register(connection, selectors.EVENT_READ, number)
        return True

    def _hear(self, number: int) -> None:
        job = self._jobs[number]
        try:
            words = job.connection.recv(64, socket.MSG_DONTWAIT).split()
            status, most, killed = (int(word) for word in words)
        except (OSError, ValueError):
            # Nothing: the client is gone, and all that it started, before anybody looked.
            if job.line is None and not job.lost:
                self.lost += (job.task.name,)
            self._decisions.note("gone", job=number)
            self._release(job)
            return
        if job.line is not None:
            self._release(job)
            return
        job.most = max(job.most, most * 1024)
        if not killed:
            self._ended(job, status)
            return
        found = rise(job.kills, self._kills()) if job.kills else None
        first = job.attempts == 1
        again = bool(found and found.count) and first and not self.killed
        if found and found.count:
            self._policy = self._policy.careful()
            self._decisions.killed(job, found.source, again=again)
            self.again += again
            if not first:
                known = job.predicted.bytes if job.predicted.origin == "measured" else 0
                self.killed += (Killed(job.task.name, job.most, found.source, known),)
        if not again:
            say(job.connection, _KEEP)
            self._ended(job, status)
        elif say(job.connection, _AGAIN):
            now = self._clock()
            job.weight = job.weight.doubled(job.most)
            job.line, job.since, job.held, job.told = Waiting(number, job.weight, now, alone=True), now, 0, ""
            job.samples.clear()

    def _ended(self, job: Job, status: int) -> None:
        seconds = self._clock() - job.since
        self._decisions.ended(job, status, seconds)
        self._release(job)
        if status == 0:
            self._judge.note(job.task, job.most, seconds, job.samples)
            # What was measured is known of the others too: the machine's pace, or their kind.
            for other in self._jobs.values():
                if other.attempts < 2 and not (other.line and other.line.alone):
                    other.weight = self._judge.weigh(other.task)
                    if other.line is not None:
                        other.line = replace(other.line, weight=other.weight)

    def _release(self, job: Job) -> None:
        self._selector.unregister(job.connection)
        job.connection.close()
        del self._jobs[job.number]

    def _keep_waiting(self) -> None:
        for job in self._jobs.values():
            if job.line is not None:
                say(job.connection, _WAIT)

    def _look(self, now: float) -> None:
        """What is free and what the running ones hold, both at one moment."""
        spent = time.thread_time()
        self._budget = self._read_budget(now)
        running = [job for job in self._jobs.values() if job.line is None]
        found = held(job.who.pid for job in running)
        for job in running:
            job.look(now, found[job.who.pid])
        self._find_lost()
        self._looked = now
        self._pause = min(max(_TICK, _LEISURE * (time.thread_time() - spent)), _LONGEST_TICK)

    def _find_lost(self) -> None:
        """Clients that were killed while their compilers ran."""
        for job in self._jobs.values():
            if job.line is None and not job.lost and is_gone(job.who.pid) and not has_told(job.connection):
                job.lost = True
                self.lost += (job.task.name,)
                end_orphans(job.who.pid)

    def _refuse(self) -> None:
        """The build ends: nobody who waits is let in any more."""
        for job in [job for job in self._jobs.values() if job.line is not None]:
            say(job.connection, _END)
            self._decisions.note("refused", job=job.number)
            self._release(job)

    def _decide(self, now: float) -> None:
        if self.killed:
            self._refuse()
            return
        line = [job.line for job in self._jobs.values() if job.line is not None]
        running = [
            Running(job.number, job.weight, job.since, job.held, job.most, job.attempts > 1)
            for job in self._jobs.values()
            if job.line is None
        ]
        answer = admit(self._policy, line, running, self._budget, now)
        for number in answer.numbers:
            self._start(self._jobs[number], now)
        for waiting in answer.waiting:
            job = self._jobs[waiting.number]
            job.line = waiting
            if waiting.why != job.told:
                job.told = waiting.why
                self._decisions.waits(job, waiting, answer.room)
        if now - self._noted >= 1.0:
            self._noted = now
            self._decisions.budget(self._budget, running, answer)

    def _start(self, job: Job, now: float) -> None:
        job.kills = self._kills()
        if not say(job.connection, _GO):
            return
        self._decisions.started(job, now - job.since)
        job.waited += now - job.since
        self.waited[job.who.output] = job.waited
        job.line, job.since = None, now
        job.attempts += 1
