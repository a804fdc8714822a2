"""Builds left to themselves: they outlive terminal and shell, are watched and stopped from elsewhere."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.process import processes, read_stat

pytestmark = pytest.mark.integration
COMMAND = (sys.executable, "-m", "trtllm_builder")
Validate = Callable[[str, object], None]


@pytest.fixture
def alone(builder: Any, tmp_path: Path) -> Any:
    """A builder with runs of its own; whatever it leaves running is ended."""
    builder.environ = {**builder.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    yield builder
    say(builder, "stop", "--grace", "5", expect=None)


def say(builder: Any, *words: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *words], env=builder.environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert expect in (None, done.returncode), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def compiling(builder: Any) -> dict[str, Any]:
    """The status of the run once upstream compiles."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        status: dict[str, Any] = json.loads(say(builder, "status", "--json", expect=75).stdout)
        if status["progress"] and status["progress"]["done"]:
            return status
        time.sleep(0.2)
    pytest.fail("it never compiled")


def in_a_terminal(script: str, environ: dict[str, str], until: str) -> tuple[subprocess.Popen[bytes], int, str]:
    """A shell with a controlling terminal, and what it showed up to ``until``."""
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "-c", script], env={**environ, "TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    shown = ""
    deadline = time.monotonic() + 60
    while until not in shown and time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            shown += os.read(master, 4096).decode(errors="replace")
    assert until in shown, shown
    return shell, master, shown


def test_a_build_outlives_its_terminal_and_its_shell(alone: Any, tmp_path: Path, validate: Validate) -> None:
    (tmp_path / "held").touch()
    build = shlex.join(alone.argv("--detach"))
    script = f"exec 9<{tmp_path}/held; {build}; echo status=$?; sleep 600"
    shell, master, shown = in_a_terminal(script, alone.environ, "status=0")
    found = re.search(r"run +(\d{8}-\d{6}-[0-9a-f]{4}), logs in (\S+)", shown)
    assert found and f"trtllm-build attach {found[1]}" in shown and "this terminal can be closed" in shown
    # The terminal is closed, and the shell killed with all of its group.
    os.close(master)
    os.killpg(shell.pid, signal.SIGKILL)
    assert shell.wait(10) < 0
    status = json.loads(say(alone, "status", found[1], "--json", expect=75).stdout)
    validate("status", status)
    own = read_stat(status["pid"])
    assert own and own.session not in (shell.pid, status["pid"]) and own.group != shell.pid
    fields = Path(f"/proc/{status['pid']}/stat").read_text().rpartition(")")[2].split()
    assert fields[4] == "0", "no controlling terminal"
    files = {int(link.name): str(link.readlink()) for link in Path(f"/proc/{status['pid']}/fd").iterdir()}
    console = f"{found[2]}/console.log"
    assert (files[0], files[1], files[2]) == ("/dev/null", console, console)
    assert not any(target.startswith("/dev/pts") or target.endswith("/held") for target in files.values())
    # A second one is refused, in the foreground.
    assert "is in use by process" in alone.run("--detach", expect=3).stderr
    attached = say(alone, "attach", found[1])
    assert alone.wheel.name in attached.stdout and "PASSED" in attached.stdout
    assert Path(console).read_text().splitlines()[-1].startswith("done in ")
    events = [json.loads(line) for line in say(alone, "attach", "--json").stdout.splitlines()]
    for event in events:
        validate("build-events", event)
    assert events[0]["event"] == "run" and events[-1]["event"] == "finished"
    assert say(alone, "status").returncode == 0
    document = json.loads(say(alone, "runs", "--json").stdout)
    validate("runs", document)
    assert [(one["state"], one["wheel"]) for one in document["runs"]] == [("done", str(alone.wheel))]


def test_refusals_are_seen_in_the_foreground_with_their_status(alone: Any) -> None:
    refused = alone.run("--detach", "--set", f"cuda.root={alone.out}", expect=3)
    assert "error: " in refused.stderr and "cuda" in refused.stderr.lower()
    refused = say(alone, "--profile", "nonesuch", "--detach", "--json", expect=2)
    assert json.loads(refused.stdout)["error"]["exit_code"] == 2
    assert not alone.workspace.exists() and say(alone, "runs").stdout.startswith("no run is known")


def test_stopped_and_killed_from_elsewhere(
    alone: Any, validate: Validate, left_running: Callable[[], list[str]]
) -> None:
    # Long enough to be met at work.
    alone.words = ("--set", "build.ccache.enabled=false")
    begun = [json.loads(line) for line in alone.run("--detach", "--json").stdout.splitlines()]
    assert begun[-1]["event"] == "run"
    identifier = begun[-1]["id"]
    compiling(alone)
    watcher = subprocess.Popen(
        [*COMMAND, "logs", "-f"], env=alone.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # A watcher that is stopped by Ctrl-C leaves the build alone.
    other = subprocess.Popen([*COMMAND, "attach"], env=alone.environ, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    while "compile" not in other.stdout.readline():
        pass
    other.send_signal(signal.SIGINT)
    assert "goes on" in other.communicate(timeout=20)[0] and other.returncode == 130
    stopped = json.loads(say(alone, "stop", identifier[-4:], "--json").stdout)
    validate("stop", stopped)
    assert stopped["was"] == "running" and not stopped["killed"] and stopped["run"]["resumable"]
    assert left_running() == []
    told, errors = watcher.communicate(timeout=20)
    assert watcher.returncode == 143 and "was stopped by SIGTERM in compile" in errors and "Building" in told
    assert say(alone, "status", expect=143).stdout.count(f"trtllm-build resume {identifier}") == 2
    assert "did not run any more: interrupted" in say(alone, "stop").stdout
    # The same run again, whose own process dies while it is watched; ninja goes on until it is stopped too.
    assert identifier in say(alone, "resume", "--detach").stdout
    pid = compiling(alone)["pid"]
    watcher = subprocess.Popen([*COMMAND, "attach"], env=alone.environ, stdout=-3, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    os.kill(pid, signal.SIGKILL)
    errors = watcher.communicate(timeout=20)[1]
    assert watcher.returncode == 137 and "died in compile" in errors and f"resume {identifier}" in errors
    assert left_running() != []
    assert "what it left running was ended" in say(alone, "stop").stdout
    assert left_running() == []
    # Its workspace is not cleared away unless that is said, and then wholly: every name in it is known to be ours.
    document = json.loads(say(alone, "gc", "--workspaces", "--yes", "--json").stdout)
    assert alone.workspace.exists() and "can be resumed" in str(document["items"])
    document = json.loads(say(alone, "gc", "--workspaces", "--unfinished", "--yes", "--json").stdout)
    validate("gc", document)
    assert not alone.workspace.exists() and document["freed"] > 1_000_000


SUPERVISOR = """
import os, signal, sys
from pathlib import Path
from trtllm_builder.build.registry import RunEntry, register
from trtllm_builder.build.signals import interruptible
from trtllm_builder.build.supervisor import supervise
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import Interrupted
from trtllm_builder.process import read_stat
workspace = Workspace(Path(sys.argv[1]))
with interruptible(), workspace.locked() as lock:
    register(RunEntry("a", "canary", workspace.root, {}, 1.0), os.environ)
    own = read_stat(os.getpid())
    workspace.journal.append("run", id="a", pid=os.getpid(), start=own.start)
    workspace.journal.append("begin", run="a", stage="compile")
    workspace.logs.mkdir()
    try:
        supervise(
            ["bash", "-c", "trap '' TERM INT HUP; echo deaf; while :; do sleep 1; done"], env=os.environ,
            cwd=workspace.root, log=workspace.logs / "compile.log", inherit=(lock,),
            on_start=lambda group, start: workspace.journal.append("child", run="a", group=group, start=start),
            on_progress=lambda progress, line: print(line, flush=True) if line else None,
        )
    except Interrupted as error:
        workspace.journal.append("interrupted", run="a", stage="compile", signal=error.signal)
"""


@pytest.mark.parametrize("frozen", [False, True])
def test_a_compiler_or_a_builder_that_does_not_listen(alone: Any, frozen: bool) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(alone.workspace)], env=alone.environ, stdout=subprocess.PIPE, text=True
    )
    alone.started.append(supervisor)
    assert supervisor.stdout is not None and supervisor.stdout.readline() == "deaf\n"
    session = next(stat.session for stat in processes().values() if stat.parent == supervisor.pid)
    if frozen:
        supervisor.send_signal(signal.SIGSTOP)
    grace = "1" if frozen else "30"
    stopped = json.loads(say(alone, "stop", "--grace", grace, "--json").stdout)
    assert stopped["killed"] == frozen and stopped["run"]["state"] == "interrupted"
    supervisor.stdout.close()
    assert supervisor.wait(5) == (-signal.SIGKILL if frozen else 0)
    assert not any(stat.session == session for stat in processes().values())
