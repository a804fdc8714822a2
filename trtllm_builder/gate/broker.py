"""Lets compilers start: a thread that listens on a socket, knows who runs and who waits, and asks the policy.

A connection is a token. Who stands at its other end is asked of the kernel (SO_PEERCRED, unix(7)), what it is about to
run is read from /proc; nothing that a client says can promise it more. The protocol is in client.c.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from trtllm_builder.gate.decisions import Decisions
from trtllm_builder.gate.door import Caller, caller, listen
from trtllm_builder.gate.held import held
from trtllm_builder.gate.policy import Admission, Budget, Policy, Reason, Running, Waiting, Weight, admit
from trtllm_builder.host.kills import Kills, read_kills, rise

_GO, _WAIT, _KEEP, _AGAIN = b"g", b"w", b"k", b"r"
# Seconds. Looking at all compilers takes at most one part in so many of the time.
_TICK, _LONGEST_TICK, _LEISURE = 0.5, 5.0, 300
# A look is good for so long: those that come together are judged by one.
_FRESH = 0.1


@dataclass(frozen=True)
class Task:
    """What a compiler is about to do. ``source`` is what it works on, relative to the checkout where it is in it."""

    source: str
    kind: str
    weight: Weight


@dataclass(frozen=True)
class Killed:
    """A compiler that was killed for memory twice, the second time alone. ``peak`` in bytes, as far as it was seen."""

    source: str
    peak: int
    counter: str


@dataclass
class _Job:
    """``since`` is when it last began to wait or to run; ``line`` its place in the line while it waits."""

    number: int
    connection: socket.socket
    who: Caller
    task: Task
    since: float
    line: Waiting | None
    waited: float = 0.0
    held: int = 0
    most: int = 0
    kills: Kills | None = None
    attempts: int = 0
    told: Reason = ""


class Broker:
    """Serves from ``with`` to its end. ``weigh`` judges a command line and its directory, ``read_budget`` says what is
    free at a moment of ``clock``; ``measured`` is told what a compiler that ended well held at its peak, in bytes. All
    of these are called in the broker's thread.

    ``waiting`` has the processes of the clients that wait at the moment, ``waited`` the seconds that each file's
    compiler has waited, ``killed`` those that no retry saved. ``failure`` is set when the thread died of a fault of
    ours: connections are closed then, and clients go by their slots. Entering raises OSError when there can be no
    socket in ``directory``.
    """

    def __init__(
        self,
        directory: Path,
        logs: Path,
        *,
        policy: Policy,
        weigh: Callable[[Sequence[str], str], Task],
        read_budget: Callable[[float], Budget],
        measured: Callable[[Task, int], None] = lambda task, peak: None,
        kills: Callable[[], Kills] = read_kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting: frozenset[int] = frozenset()
        self.waited: dict[str, float] = {}
        self.killed: tuple[Killed, ...] = ()
        self.failure: Exception | None = None
        self._directory = directory
        self._decisions = Decisions(logs)
        self._policy = policy
        self._weigh = weigh
        self._read_budget = read_budget
        self._measured = measured
        self._kills = kills
        self._clock = clock
        self._jobs: dict[int, _Job] = {}
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
            self._stopped.close()
            self.waiting = frozenset()
            self._decisions.flush()

    def _turn(self) -> bool:
        """Wait for something to happen, and do what follows from it; False when it is time to stop."""
        due = self._looked + self._pause - self._clock()
        changed = False
        for key, _ in self._selector.select(max(0.0, min(due, _LONGEST_TICK)) if self._jobs else None):
            if key.fileobj is self._stopped:
                return False
            changed = True
            if key.fileobj is self._listener:
                self._accept()
            else:
                self._hear(key.data)
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
        self.waiting = frozenset(job.who.pid for job in self._jobs.values() if job.line is not None)
        return True

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                who = caller(connection)
                if who is None:
                    connection.close()
                    continue
                now, number = self._clock(), self._next
                self._next += 1
                task = self._weigh(who.argv, who.directory)
                self._jobs[number] = _Job(number, connection, who, task, now, Waiting(number, task.weight, now))
                self._selector.register(connection, selectors.EVENT_READ, number)

    def _hear(self, number: int) -> None:
        job = self._jobs[number]
        try:
            words = job.connection.recv(64, socket.MSG_DONTWAIT).split()
            status, most, killed = (int(word) for word in words)
        except (OSError, ValueError):
            # Nothing: the client is gone, and all that it started.
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
        again = bool(found and found.count) and job.attempts == 1
        if found and found.count:
            self._policy = self._policy.careful()
            self._decisions.note(
                "killed", job=number, source=job.task.source, peak=job.most, counter=found.source, again=again
            )
            if not again:
                self.killed += (Killed(job.task.source, job.most, found.source),)
        if not again:
            self._say(job, _KEEP)
            self._ended(job, status)
        elif self._say(job, _AGAIN):
            now = self._clock()
            weight = replace(job.task.weight, bytes=2 * job.task.weight.bytes)
            job.line, job.since, job.held, job.told = Waiting(number, weight, now, alone=True), now, 0, ""

    def _ended(self, job: _Job, status: int) -> None:
        self._decisions.note(
            "ended",
            job=job.number,
            source=job.task.source,
            kind=job.task.kind,
            status=status,
            predicted=job.task.weight.bytes,
            origin=job.task.weight.origin,
            peak=job.most,
            seconds=round(self._clock() - job.since, 2),
            waited=round(job.waited, 2),
        )
        if status == 0:
            self._measured(job.task, job.most)
        self._release(job)

    def _release(self, job: _Job) -> None:
        self._selector.unregister(job.connection)
        job.connection.close()
        del self._jobs[job.number]

    def _say(self, job: _Job, word: bytes) -> bool:
        """Whether it could be said; who is gone is heard of later, and who does not read gets no more."""
        try:
            job.connection.send(word, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def _keep_waiting(self) -> None:
        for job in self._jobs.values():
            if job.line is not None:
                self._say(job, _WAIT)

    def _look(self, now: float) -> None:
        """What is free and what the running ones hold, both at one moment."""
        spent = time.thread_time()
        self._budget = self._read_budget(now)
        running = [job for job in self._jobs.values() if job.line is None]
        found = held(job.who.pid for job in running)
        for job in running:
            job.held = found[job.who.pid]
            job.most = max(job.most, job.held)
        self._looked = now
        self._pause = min(max(_TICK, _LEISURE * (time.thread_time() - spent)), _LONGEST_TICK)

    def _decide(self, now: float) -> None:
        line = [job.line for job in self._jobs.values() if job.line is not None]
        running = [
            Running(job.number, job.task.weight, job.since, job.held, job.most, job.attempts > 1)
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
                self._decisions.note(
                    "waits",
                    job=job.number,
                    source=job.task.source,
                    kind=job.task.kind,
                    predicted=waiting.weight.bytes,
                    why=waiting.why,
                    room=answer.room,
                )
        if now - self._noted >= 1.0:
            self._noted = now
            self._note_budget(running, answer)

    def _start(self, job: _Job, now: float) -> None:
        job.kills = self._kills()
        if not self._say(job, _GO):
            return
        self._decisions.note(
            "started",
            job=job.number,
            source=job.task.source,
            kind=job.task.kind,
            predicted=job.task.weight.bytes,
            origin=job.task.weight.origin,
            waited=round(now - job.since, 3),
            attempt=job.attempts + 1,
        )
        job.waited += now - job.since
        self.waited[job.who.output] = job.waited
        job.line, job.since = None, now
        job.attempts += 1

    def _note_budget(self, running: Sequence[Running], answer: Admission) -> None:
        self._decisions.note(
            "budget",
            free=self._budget.free,
            reserve=self._budget.reserve,
            held=sum(one.held for one in running),
            promised=sum(max(one.weight.bytes, one.held) for one in running),
            running=len(running) + len(answer.numbers),
            waiting=len(answer.waiting),
            why=answer.reason,
            pressed=self._budget.pressed_since is not None,
        )
