"""One attempt at a time in a directory, by processes that really are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trtllm_builder.build.workspace import Workspace
from trtllm_builder.ci import attempt as attempting
from trtllm_builder.ci import node
from trtllm_builder.ci.attempt import Task
from trtllm_builder.ci.hold import held
from trtllm_builder.cli.nightly import nightly
from trtllm_builder.process import read_stat

# An attempt whose build is a sleep.
_ATTEMPT = """
import os, subprocess, sys
from pathlib import Path
from trtllm_builder.ci.hold import held
directory = Path(sys.argv[1])
with held(directory, directory / "workspace", print) as hold:
    child = subprocess.Popen(["sleep", "600"], pass_fds=(hold,))
    print(child.pid, flush=True)
    child.wait()
"""


def _alive(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.state not in "ZX"


def _kill(pid: int) -> None:
    if _alive(pid):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], int]]]:
    """An attempt in tmp_path/night; its process, and its build's number."""
    with ExitStack() as started:

        def start() -> tuple[subprocess.Popen[str], int]:
            argv = [sys.executable, "-c", _ATTEMPT, str(tmp_path / "night")]
            child = started.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
            started.callback(child.kill)
            assert child.stdout is not None
            build = int(child.stdout.readline())
            started.callback(_kill, build)
            return child, build

        yield start


def _never(process: int | None) -> None:
    pytest.fail(f"process {process} is taken for a living attempt")


def test_what_a_killed_attempt_left_at_work_is_ended(
    tmp_path: Path, begin: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    child, orphan = begin()
    child.kill()
    child.wait()
    assert _alive(orphan)
    night = tmp_path / "night"
    # It shares our session and group, of which nothing else is to be ended.
    assert os.getsid(orphan) == os.getsid(0)
    with held(night, night / "workspace", _never):
        assert not _alive(orphan)


def test_a_living_attempt_and_a_users_own_build_in_the_workspace_are_waited_for(
    tmp_path: Path, begin: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    child, build = begin()
    night, waited = tmp_path / "night", []

    def wait(process: int | None) -> None:
        waited.append(process)
        assert _alive(build)
        child.kill()
        child.wait()

    with held(night, night / "workspace", wait):
        assert waited == [child.pid]
    waited.clear()
    with ExitStack() as theirs:
        theirs.enter_context(Workspace(night / "workspace").locked())

        def leave(process: int | None) -> None:
            waited.append(process)
            theirs.close()

        with held(night, night / "workspace", leave):
            assert waited == [os.getpid()]


def test_a_second_nightly_in_a_directory_changes_nothing(
    tmp_path: Path, begin: Callable[[], tuple[subprocess.Popen[str], int]]
) -> None:
    child, _ = begin()
    report = tmp_path / "night" / "report"
    report.mkdir()
    (report / "result.json").write_text("theirs")
    before = sorted(tmp_path.rglob("*"))
    app = typer.Typer()
    app.command()(nightly)
    words = ["-p", "toy", "--dir", str(tmp_path / "night"), "--outputs", str(tmp_path / "outputs")]
    done = CliRunner().invoke(app, words)
    assert getattr(done.exception, "exit_code", None) == 3, done.output
    assert str(done.exception) == f"another build works in {tmp_path / 'night'}: process {child.pid}"
    assert (report / "result.json").read_text() == "theirs"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_job_says_that_another_fleet_builds_there_and_waits(
    tmp_path: Path, begin: Callable[[], tuple[subprocess.Popen[str], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "trtllm-build"
    # 6 when it inherited the lock, by which it would be found were its attempt killed.
    fake.write_text("#!/bin/sh\ngrep -q FLOCK /proc/self/fdinfo/* && exit 6\nexit 9\n")
    fake.chmod(0o755)
    monkeypatch.setattr(attempting, "OURS", (str(fake),))
    monkeypatch.setattr(node, "_POLL", 0.01)
    child, _ = begin()
    task = Task("toy", tmp_path / "night", shown=tmp_path / "job")

    def end() -> None:
        while not task.events.is_file() or "busy" not in task.events.read_text():
            time.sleep(0.01)
        child.kill()

    ending = threading.Thread(target=end)
    ending.start()
    result = node.NodeJob(task, slots=tmp_path / "slots", at_once=1)()
    ending.join()
    events = [json.loads(line) for line in task.events.read_text().splitlines()]
    assert [(one["state"], one.get("by")) for one in events] == [
        ("busy", child.pid), ("waiting", None), ("begun", None),
    ]  # fmt: skip
    assert (result["result"], result["exit_code"]) == ("failed", 6)
    assert task.result.parent.parent == tmp_path / "job"
    assert not (tmp_path / "night" / "report").exists()
