"""The broker and its clients: who is let in, what is kept of it, and what happens when somebody goes away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.gate import decisions
from trtllm_builder.gate.broker import Broker
from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.decisions import DECISIONS
from trtllm_builder.gate.door import listen
from trtllm_builder.gate.job import Task
from trtllm_builder.gate.launcher import BROKER, CLIENT, LOST, install_client, set_slots
from trtllm_builder.gate.policy import Budget, Policy, Weight
from trtllm_builder.host.kills import Kills

pytestmark = pytest.mark.integration
GIB = 2**30


@dataclass
class Judge:
    """Everything takes one GiB."""

    noted: list[tuple[str, int]] = field(default_factory=list)
    faulty: bool = False

    def read(self, argv: Sequence[str], directory: str) -> Task:
        if self.faulty:
            raise RuntimeError("a fault of ours")
        return Task(argv[-1], "c++", Compile("compile", argv[-1]))

    def weigh(self, task: Task) -> Weight:
        return Weight(GIB, "test", 0.0)

    def note(self, task: Task, peak: int, seconds: float, samples: Sequence[tuple[float, int]]) -> None:
        self.noted.append((task.name, peak))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, made once."""
    directory = tmp_path_factory.mktemp("client")
    install_client(directory, {"PATH": os.environ["PATH"]})
    return directory


@dataclass
class Place:
    directory: Path
    logs: Path
    judge: Judge
    counters: list[int]
    free: list[int]

    @property
    def client(self) -> str:
        return str(self.directory / CLIENT)

    def broker(self, slots: int | None = None, **more: Any) -> Broker:
        return Broker(
            self.directory, self.logs, policy=Policy(slots=slots, largest=0.0), judge=self.judge,
            read_budget=lambda now: Budget(self.free[0], 0),
            kills=lambda: Kills((("memory.events", self.counters[0]),), None), **more,
        )  # fmt: skip

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.client, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        path = self.logs / DECISIONS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def place(program: Path, tmp_path: Path) -> Place:
    """At the end of a path that is too long for a socket."""
    directory = tmp_path / ("long" * 30) / "gate"
    shutil.copytree(program, directory)
    set_slots(directory, 1)
    logs = tmp_path / "logs"
    logs.mkdir()
    return Place(directory, logs, Judge(), [0], [2 * GIB])


def ended(*children: subprocess.Popen[str]) -> list[int]:
    for child in children:
        child.communicate(timeout=20)
    return [child.returncode for child in children]


def until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_client_gives_back_what_its_compiler_did(place: Place) -> None:
    with place.broker() as broker:
        told = place.start("sh", "-c", "echo out; echo err >&2; exit 3")
        assert told.communicate(timeout=20) == ("out\n", "err\n") and told.returncode == 3
        crashed, stopped, none = (
            place.start("sh", "-c", "kill -SEGV $$"), place.start("sh", "-c", "kill $$"), place.start("/no/compiler")
        )  # fmt: skip
        assert ended(crashed, stopped, none) == [-signal.SIGSEGV, -signal.SIGTERM, 127]
        loud = place.start(sys.executable, "-c", "import sys; sys.stderr.write('x' * 300000)")
        assert len(loud.communicate(timeout=20)[1]) == 300000
    assert broker.failure is None and len(place.judge.noted) == 1
    statuses = sorted(event["status"] for event in place.events if event["event"] == "ended")
    assert statuses == [-15, -11, 0, 3, 127]


def test_who_does_not_fit_waits(place: Place, validate: Callable[[str, object], None]) -> None:
    with place.broker() as broker:
        children = [place.start("sleep", "0.4") for _ in range(3)]
        until(lambda: broker.short == 1 and len(broker.waiting) == 1)
        assert broker.waiting <= {child.pid for child in children}
        assert ended(*children) == [0, 0, 0]
    assert broker.waiting == frozenset() and broker.short == 0 and not (place.directory / BROKER).exists()
    for event in place.events:
        validate("gate-event", event)
    waits = [event for event in place.events if event["event"] == "waits"]
    assert [event["why"] for event in waits] == ["memory"]
    late = next(event for event in place.events if event["event"] == "ended" and event["job"] == waits[0]["job"])
    assert late["waited"] >= 0.2 and late["seconds"] >= 0.4 and 0 < late["peak"] < GIB and late["predicted"] == GIB


def test_killed_for_memory_is_run_once_more_alone_and_nothing_is_told_of_it(place: Place, tmp_path: Path) -> None:
    """The counter rises as the kernel would have it rise; the first attempt says what a driver says."""
    mark = tmp_path / "mark"
    script = f"test -e {mark} && exit 0; touch {mark}; sleep 0.3; echo Killed >&2; exit 137"
    with place.broker() as broker:
        other = place.start("sleep", "1")
        until(lambda: any(event["event"] == "started" for event in place.events) or not time.sleep(0.05))
        victim = place.start("sh", "-c", script)
        until(mark.exists)
        place.counters[0] = 1
        assert victim.communicate(timeout=20) == ("", "") and victim.returncode == 0
        assert ended(other) == [0]
    assert (broker.again, broker.killed) == (1, ())
    (killed,) = (event for event in place.events if event["event"] == "killed")
    assert killed["again"] and killed["counter"] == "oom_kill in memory.events"
    attempts = [event for event in place.events if event["event"] == "started" and event["job"] == killed["job"]]
    assert [(event["attempt"], event["predicted"]) for event in attempts] == [(1, GIB), (2, 2 * GIB)]
    before = next(event for event in place.events if event["event"] == "ended" and event["job"] != killed["job"])
    assert place.events.index(before) < place.events.index(attempts[1]), "nothing ran beside it"


def test_killed_twice_ends_it(place: Place) -> None:
    with place.broker() as broker:
        child = place.start("sh", "-c", "sleep 0.1; echo Killed >&2; exit 1", "x", "big.cu")
        until(lambda: any(event["event"] == "started" for event in place.events) or not time.sleep(0.05))
        place.counters[0] = 1
        until(lambda: any(job.attempts == 2 for job in list(broker._jobs.values())))
        place.counters[0] = 2
        assert child.communicate(timeout=20)[1] == "Killed\n" and child.returncode == 1
    assert [one.name for one in broker.killed] == ["big.cu"] and broker.again == 1


def test_after_a_second_kill_nobody_is_let_in(place: Place, validate: Callable[[str, object], None]) -> None:
    """Those who wait are told so, also one that was killed once; who runs goes on to its end."""
    place.free[0] = 3 * GIB
    die = "sleep 0.3; echo Killed >&2; exit 137"
    with place.broker() as broker:
        victim = place.start("sh", "-c", die, "x", "big.cu")
        until(lambda: any(job.attempts == 1 for job in list(broker._jobs.values())))
        place.counters[0] = 1
        until(lambda: any(job.attempts == 2 for job in list(broker._jobs.values())))
        late = [place.start("touch", str(place.logs / f"made{number}")) for number in range(2)]
        until(lambda: len(broker.waiting) == 2)
        place.counters[0] = 2
        assert ended(victim) == [137]
        assert ended(*late) == [1, 1]
        later = place.start("touch", str(place.logs / "made2"))
        out, told = later.communicate(timeout=20)
        assert later.returncode == 1 and out == "" and "another compiler was killed for lack of memory" in told
    assert [one.name for one in broker.killed] == ["big.cu"] and not list(place.logs.glob("made*"))
    assert [event["event"] for event in place.events].count("refused") == 3
    for event in place.events:
        validate("gate-event", event)


@pytest.mark.parametrize(
    ("command", "status", "rises"),
    [
        ("kill -9 $$", -9, 0),  # killed, and nobody was killed for memory
        ("echo Killed >&2; exit 137", 137, 0),
        ("kill -SEGV $$", -11, 1),  # a crash, while somebody else was killed
        ("exit 139", 139, 1),
        ("echo 'internal compiler error: Segmentation fault' >&2; exit 1", 1, 1),
    ],
)
def test_nothing_else_is_run_again(place: Place, command: str, status: int, rises: int) -> None:
    with place.broker() as broker:
        child = place.start("sh", "-c", f"sleep 0.1; {command}")
        time.sleep(0.05)
        place.counters[0] += rises
        assert ended(child) == [status]
    assert broker.again == 0 and not [event for event in place.events if event["event"] == "killed"]


def test_a_broker_that_dies_leaves_its_clients_their_slots(place: Place) -> None:
    children = []
    with place.broker() as broker:
        children += [place.start("sleep", "0.2"), place.start("sleep", "0.2")]
        until(lambda: broker._jobs)
        place.free[0] = 0
        children += [place.start("sh", "-c", "sleep 0.3; date +%s.%N") for _ in range(2)]
        until(lambda: len(broker.waiting) >= 2)
        place.judge.faulty = True
        children.append(place.start("sh", "-c", "sleep 0.3; date +%s.%N"))
        until(lambda: broker.failure)
    assert isinstance(broker.failure, RuntimeError)
    assert ended(*children) == [0] * 5
    assert (place.directory / LOST).exists()


def test_those_that_a_dead_broker_let_in_are_counted(place: Place) -> None:
    """Three run when it dies, and there are two slots: nobody else begins before one of two is free."""
    set_slots(place.directory, 2)
    place.free[0] = 40 * GIB
    running = place.logs / "running"
    running.mkdir()
    script = f"touch {running}/$$; ls {running} | wc -l; sleep 0.3; rm {running}/$$"
    with place.broker() as broker:
        first = [place.start("sh", "-c", script.replace("0.3", "2")) for _ in range(3)]
        until(lambda: len(list(running.iterdir())) == 3)
        place.free[0] = 0
        until(lambda: broker._budget.free == 0)
        late = [place.start("sh", "-c", script) for _ in range(3)]
        until(lambda: len(broker.waiting) == 3)
        place.judge.faulty = True
        late.append(place.start("sh", "-c", script))
        until(lambda: broker.failure)
    seen = [int(child.communicate(timeout=20)[0]) for child in late]
    assert max(seen) <= 2 and ended(*first) == [0] * 3


def test_without_a_broker_no_more_run_than_there_are_slots(place: Place) -> None:
    set_slots(place.directory, 2)
    script = f"touch {place.logs}/$$; ls {place.logs} | wc -l; sleep 0.2; rm {place.logs}/$$"
    children = [place.start("sh", "-c", script) for _ in range(5)]
    seen = [int(child.communicate(timeout=20)[0]) for child in children]
    assert [child.returncode for child in children] == [0] * 5 and max(seen) == 2


def test_without_slots_nobody_is_asked(place: Place) -> None:
    set_slots(place.directory, 0)
    assert all(path.name.startswith(CLIENT) for path in place.directory.iterdir())
    with place.broker():
        assert ended(place.start("true")) == [0]
    assert not [event for event in place.events if event["event"] == "started"]


def test_what_a_compiler_starts_does_not_wait_for_it(place: Place) -> None:
    place.free[0] = GIB
    with place.broker():
        assert ended(place.start("sh", "-c", f"{place.client} true")) == [0]


def test_a_killed_client_s_compilers_are_ended_and_only_then_somebody_has_its_place(place: Place) -> None:
    """Also what its driver had started. As with ninja, nobody asks how the client ended as long as they have its
    output."""
    place.free[0] = GIB
    pids = place.logs / "pids"
    with place.broker() as broker:
        first = place.start("sh", "-c", f"sh -c 'echo $$; exec sleep 30' > {pids} & wait", "x", "big.cu")
        until(lambda: pids.exists() and pids.read_text())
        other = place.start("true")
        until(lambda: broker.waiting)
        os.kill(first.pid, signal.SIGKILL)
        assert ended(other) == [0] and not Path(f"/proc/{pids.read_text().strip()}/exe").exists()
        assert ended(first) == [-9]
    assert broker.lost == ("big.cu",) and broker.failure is None
    assert [event["event"] for event in place.events if event["event"] in ("gone", "ended")] == ["gone", "ended"]


def test_a_client_that_is_killed_at_the_very_end_is_told_of(place: Place) -> None:
    with place.broker() as broker:
        child = place.start("sh", "-c", "sleep 30", "x", "big.cu")
        until(lambda: any(job.line is None for job in broker._jobs.values()))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    child.communicate()
    assert broker.lost == ("big.cu",)


def test_signals_reach_the_compiler_and_one_that_ignores_them_can_be_killed(place: Place) -> None:
    with place.broker():
        polite = place.start("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
        assert polite.stdout is not None and polite.stdout.readline() == "up\n"
        polite.terminate()
        assert ended(polite) == [7]
        deaf = place.start("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
        assert deaf.stdout is not None and deaf.stdout.readline() == "up\n"
        deaf.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            deaf.wait(0.3)
        os.killpg(deaf.pid, signal.SIGKILL)
        assert ended(deaf) == [-9]


def test_strangers_are_shown_the_door(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # The path of a socket has 108 bytes.
    monkeypatch.chdir(place.directory)
    with place.broker() as broker:
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stranger.connect(BROKER)
        assert stranger.recv(1) == b"", "pytest is no client of ours"
        stranger.close()
        assert ended(place.start("true")) == [0] and broker.failure is None


def test_a_jump_of_the_clock_changes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Jumping:
        day = 86_400.0

        @classmethod
        def time(cls) -> float:
            cls.day = -cls.day
            return 1_790_000_000.0 + cls.day

    monkeypatch.setattr(decisions, "time", Jumping)
    place.free[0] = GIB
    with place.broker():
        started = time.monotonic()
        assert ended(*(place.start("sleep", "0.2") for _ in range(3))) == [0, 0, 0]
        assert 0.6 <= time.monotonic() - started < 3
    waited = [event["waited"] for event in place.events if event["event"] == "ended"]
    assert all(0 <= one < 3 for one in waited)


def test_a_full_disk_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decisions.os, "write", full)
    with place.broker() as broker:
        assert ended(place.start("true")) == [0] and broker.failure is None


def test_a_client_that_is_stopped_holds_up_nobody(place: Place) -> None:
    place.free[0] = GIB
    with place.broker() as broker:
        running = place.start("sleep", "0.3")
        until(lambda: broker._jobs)
        stopped = place.start("true")
        until(lambda: broker.waiting)
        os.kill(stopped.pid, signal.SIGSTOP)
        third = place.start("true")
        assert ended(running) == [0]
        until(lambda: len(broker._jobs) == 2 or third.poll() is not None)
        os.kill(stopped.pid, signal.SIGCONT)
        assert ended(stopped, third) == [0, 0] and broker.failure is None


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "gate"]


def test_a_socket_is_made_anew(tmp_path: Path) -> None:
    listen(tmp_path).close()
    listen(tmp_path).close()
    assert (tmp_path / BROKER).is_socket()
