"""What a follower makes of a cluster's words: the cluster is a table of states, jobs are never started."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from trtllm_builder.ci.attempt import Task
from trtllm_builder.ci.clusters import Handle, JobState, Refused
from trtllm_builder.ci.fleet import Fleet, Member, find, new_fleet
from trtllm_builder.ci.follow import Follower, cancel_all, resume_all
from trtllm_builder.ci.result import Result
from trtllm_builder.ci.seen import Seen
from trtllm_builder.cli.fleet_view import drawn, exit_code, table
from trtllm_builder.errors import UsageError

Make = Callable[..., Result]


@dataclass
class Fake:
    """``state`` is every job's; ``refuses`` is what the queue says of a new one."""

    state: JobState = field(default_factory=lambda: JobState("running"))
    refuses: str = ""
    submitted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, name: str, job: Any, size: Any, logs: Path) -> Handle:
        if self.refuses:
            raise Refused(self.refuses)
        self.submitted.append(name)
        return Handle(str(len(self.submitted)))

    def states(self, handles: Sequence[Handle]) -> dict[Handle, JobState]:
        return dict.fromkeys(handles, self.state)

    def cancel(self, handle: Handle) -> None:
        self.cancelled.append(handle.job)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(Fleet, "cluster", made)
    return made


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = new_fleet(
        "slurm", [Member("canary", (), 2, 2**30)], shared=tmp_path / "shared", seconds=0, retries=1, at_once=0,
        options={}, environ={"HOME": str(tmp_path)},
    )  # fmt: skip
    made.write({"HOME": str(tmp_path)})
    return made


def _look(fleet: Fleet, notes: list[str] | None = None) -> Seen:
    (seen,) = Follower(fleet, keep=True, note=(notes if notes is not None else []).append).look()
    return seen


def _task(fleet: Fleet) -> Task:
    """That of its last job."""
    place = [event["place"] for event in fleet.journal.events() if event["event"] == "submitted"][-1]
    return fleet.task(fleet.members[0], place)


def _leave(task: Task, result: Result) -> None:
    task.report.mkdir(parents=True, exist_ok=True)
    task.result.write_text(json.dumps(result.to_json()))


def test_a_fleet_is_found_again_as_it_was(fleet: Fleet, tmp_path: Path) -> None:
    for name in (None, fleet.identifier, fleet.identifier[-4:]):
        assert find(name, {"HOME": str(tmp_path)}) == fleet
    with pytest.raises(UsageError, match="names 0 fleets"):
        find("nope", {"HOME": str(tmp_path)})
    (fleet.directory / "fleet.json").write_text('{"schema": 1}')
    with pytest.raises(UsageError, match="cannot be read"):
        find(None, {"HOME": str(tmp_path)})


def test_a_result_of_this_job_ends_it_and_stays(fleet: Fleet, fake: Fake, make_result: Make) -> None:
    fleet.submit(fleet.members[0])
    assert _look(fleet).phase == "running"
    fake.state = JobState("ended", "completed")
    _leave(_task(fleet), make_result())
    wheel = _task(fleet).report / "a.whl"
    wheel.write_bytes(b"wheel")
    seen = _look(fleet)
    assert (fleet.reports / "canary" / "a.whl").samefile(wheel)
    assert (seen.phase, seen.doing, exit_code([seen])) == ("over", "built", 0)
    assert fake.submitted == ["trtllm-canary"]
    assert _look(fleet).result == seen.result


def test_a_fleet_takes_nothing_of_another_ones_for_its_own(
    fleet: Fleet, fake: Fake, make_result: Make, tmp_path: Path
) -> None:
    other = new_fleet(
        "slurm", fleet.members, shared=fleet.root, seconds=0, retries=1, at_once=0, options={}, environ={}
    )
    other.write({"HOME": str(tmp_path)})
    for one in (fleet, other):
        one.submit(one.members[0])
    # They build the same profile in the same directory at the same time; one has finished.
    theirs = _task(other)
    assert theirs.directory == _task(fleet).directory
    _leave(theirs, make_result())
    theirs.events.write_text('{"event": "stage", "stage": "record"}\n')
    assert _look(fleet).doing == "started"
    fake.state = JobState("ended", "its process is gone")
    assert _look(fleet).doing == "again, after lost: its process is gone"
    assert _look(other).doing == "built"


def test_what_an_older_job_left_is_no_result_of_this_one(fleet: Fleet, fake: Fake, make_result: Make) -> None:
    fleet.submit(fleet.members[0])
    older = _task(fleet)
    fleet.submit(fleet.members[0])
    # It was taken for dead, and ends later than the one that came after it began.
    _leave(older, make_result(started=time.time() + 1))
    fake.state = JobState("ended", "its process is gone")
    assert "lost: its process is gone; given up" in _look(fleet).doing


def test_a_job_that_was_lost_is_submitted_again_elsewhere_and_then_given_up(
    fleet: Fleet, fake: Fake, make_result: Make
) -> None:
    fleet.submit(fleet.members[0])
    _task(fleet).report.mkdir(parents=True)
    (_task(fleet).report / "half.whl").write_bytes(b"wheel")
    fake.state = JobState("lost", "node_fail", "n7")
    notes: list[str] = []
    seen = _look(fleet, notes)
    assert (seen.phase, seen.attempts) == ("waiting", 2)
    assert notes == ["canary: lost: node_fail; submitted again, it goes on from its workspace"]
    assert fleet.journal.events()[-1]["excluded"] == ["n7"]
    seen = _look(fleet)
    assert (seen.phase, seen.doing) == ("over", "lost: node_fail; given up after 2 jobs")
    assert seen.result is not None
    assert (seen.result.result, exit_code([seen])) == ("died", 6)
    assert any("fleet resume" in line for line in table(fleet, [seen]))
    # It left no result, so what lies there is not all of a report.
    assert [path.name for path in (fleet.reports / "canary").iterdir()] == ["result.json"]
    again = _look(fleet).result
    assert again is not None
    assert again.fault == seen.result.fault == "lost: node_fail"


def test_one_whose_time_was_over_goes_on(fleet: Fleet, fake: Fake, make_result: Make) -> None:
    fleet.submit(fleet.members[0])
    _leave(_task(fleet), make_result(result="interrupted", exit_code=143, fault="its time was over"))
    fake.state = JobState("ended", "completed")
    assert _look(fleet).doing == "again, after its time was over"


def test_a_mere_look_submits_nothing(fleet: Fleet, fake: Fake) -> None:
    fleet.submit(fleet.members[0])
    fake.state = JobState("lost", "node_fail")
    (seen,) = Follower(fleet, keep=False, note=list[str]().append).look()
    assert "fleet attach" in seen.doing
    assert len(fake.submitted) == 1


def test_what_was_cancelled_stays_so_until_it_is_resumed(fleet: Fleet, fake: Fake, make_result: Make) -> None:
    fleet.submit(fleet.members[0])
    assert cancel_all(fleet) == ["canary"]
    assert fake.cancelled == ["1"]
    # A process of this machine has no state "cancelled".
    fake.state = JobState("ended", "its process is gone")
    _leave(_task(fleet), make_result(result="interrupted", exit_code=143))
    seen = _look(fleet)
    assert seen.phase == "over"
    assert seen.doing.startswith("cancelled; ")
    resume_all(fleet)
    fake.state = JobState("running")
    assert (_look(fleet).phase, len(fake.submitted)) == ("running", 2)


def test_a_queue_that_refuses_again_is_said(fleet: Fleet, fake: Fake) -> None:
    fleet.submit(fleet.members[0])
    fake.state, fake.refuses = JobState("lost", "preempted"), "sbatch: error: no such partition"
    _look(fleet)
    seen = _look(fleet)
    assert seen.phase == "over"
    assert "no such partition" in seen.doing


def test_a_job_that_was_refused_has_no_wheel(fleet: Fleet, fake: Fake) -> None:
    fleet.journal.append("refused", profile="canary", why="the cluster refused it: no such partition")
    seen = _look(fleet)
    assert (seen.phase, seen.doing) == ("over", "the cluster refused it: no such partition")
    assert seen.result is not None
    assert (seen.result.result, seen.result.wheel, exit_code([seen])) == ("died", None, 6)


def test_a_cluster_that_does_not_answer_is_asked_again(fleet: Fleet, fake: Fake) -> None:
    fleet.submit(fleet.members[0])
    fake.state = JobState("unknown", "squeue: no answer")
    notes: list[str] = []
    follower = Follower(fleet, keep=True, note=notes.append)
    assert [one.phase for one in (*follower.look(), *follower.look())] == ["running", "running"]
    assert len(notes) == 1


def test_what_a_job_does_is_told_by_its_events(fleet: Fleet, fake: Fake) -> None:
    fleet.submit(fleet.members[0])
    task = _task(fleet)
    task.events.parent.mkdir(parents=True)
    follower = Follower(fleet, keep=True, note=list[str]().append)
    assert follower.look()[0].doing == "started"
    for by, told in (("null", ""), ("7", ", process 7")):
        with task.events.open("a") as stream:
            stream.write(f'{{"event": "node", "state": "busy", "node": "n1", "by": {by}}}\n')
        expected = ("waiting", f"waiting for another build in its directory{told}")
        assert [(one.phase, one.doing) for one in follower.look()] == [expected]
    with task.events.open("a") as stream:
        stream.write('{"event": "node", "state": "waiting", "node": "n1"}\n')
    assert [(one.phase, one.doing) for one in follower.look()] == [("waiting", "waiting for its turn")]
    with task.events.open("a") as stream:
        stream.write(
            '{"event": "stage", "stage": "patch"}\nrubbish\n[]\n{"event": "progress", "phase": "build", "eta": 5,'
        )
        stream.write(' "done": 3, "total": 9}\n')
    assert follower.look()[0].doing == "compile: build [3/9], 5.0 s to go"
    fleet.submit(fleet.members[0])
    assert follower.look()[0].doing == "started", "what the job before did is over"


@pytest.mark.parametrize(("width", "shown"), [(80, "build [812/3120], 2 h 37 min to go"), (120, "gpu-node-017")])
def test_the_live_table_has_a_line_a_member_that_fits(fleet: Fleet, make_result: Make, width: int, shown: str) -> None:
    doing = "compile: build [812/3120], 2 h 37 min to go"
    failed = make_result(result="failed", fault="\x1b[2Jno memory was left " + "for a file " * 30)
    seen = [
        Seen("h200-ci", "running", "7", "gpu-node-017.example.org", 1, doing, 5400.0),
        Seen("a-profile-with-a-rather-long-name", "over", "8", "n", 1, "failed", 700.0, failed),
    ]
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(drawn(fleet, seen, width))
    text = capture.get()
    assert "\x1b[2J" not in text
    plain = [Text.from_ansi(line).plain.rstrip() for line in text.splitlines()]
    assert len(plain) == 5
    assert max(map(len, plain)) <= width
    assert plain[0].endswith("on slurm: 1 running, 1 failed")
    assert shown in plain[2]
    assert "no memory was left" in plain[3]
