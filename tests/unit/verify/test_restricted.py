"""The restricted mode: what holds is measured, as root and as an ordinary user, and where the host allows nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.progress import read_progress
from trtllm_builder.verify.restrict import CHILD, trial
from trtllm_builder.verify.smoke import Smoke
from trtllm_builder.verify.verdict import smoke_checks
from trtllm_builder.verify.world import World

Try = Callable[..., Smoke]
NO_NAMESPACES = trial(dict(os.environ))
allowed = pytest.mark.skipif(bool(NO_NAMESPACES), reason=f"this host: {NO_NAMESPACES}")
LOOK = """
import os, socket
facts = os.statvfs("/dev/shm")
status = dict(line.split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=5).close()
print("seen", facts.f_blocks * facts.f_frsize, [name for _, name in socket.if_nameindex()], os.path.exists("/run/pmix"),
      int(status["CapEff"], 16), status["NoNewPrivs"].strip(), os.geteuid(), sep="|")
class LLM: pass
"""


def told(output: str) -> World:
    world = read_progress(output).world
    assert world
    return world


@allowed
def test_the_wheel_finds_what_the_report_says(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": LOOK}, answer=None)
    assert tried.outcome == "ok", tried.output
    assert f"seen|{64 << 20}|['lo']|False|0|1|{os.geteuid()}" in tried.output
    assert tried.world and tried.world.restricted
    (check,) = [one for one in smoke_checks(tried, Expectation(), "1") if one.id == "restricted"]
    assert check.status == "passed"
    assert tried.to_json()["restrictions"][0] == {  # type: ignore[index]
        "name": "shm", "held": True, "seen": "/dev/shm of 64.0 MiB", "why": "",
    }  # fmt: skip


def enter(argv_before: list[str], tmp_path: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    """The child as a program of its own, by a Python that every user may run."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    if python is None:
        pytest.skip("no python3 of the system")
    task = tmp_path / "task.json"
    task.write_text('{"progress": 1}')
    with task.open() as file:
        # The test's own directories are closed to others: the program comes as text, its task as a descriptor.
        argv = [python, "-I", "-S", "-c", CHILD.read_text(), f"/proc/self/fd/{file.fileno()}", "/bin/true"]
        return subprocess.run(
            [*argv_before, *argv],
            pass_fds=(file.fileno(),),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **how,
        )


@allowed
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_is_shut_in_too(tmp_path: Path) -> None:
    done = enter([], tmp_path, user=65534, group=65534, extra_groups=[])
    world = told(done.stdout)
    assert (done.returncode, world.user, world.restricted) == (0, 65534, True)


@allowed
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
def test_where_nothing_is_allowed_it_says_so_and_goes_on(tmp_path: Path) -> None:
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    done = enter(["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh"], tmp_path)
    world = told(done.stdout)
    assert done.returncode == 0
    assert {"network", "shm", "pmix"} <= set(world.refused)
    assert next(one.held for one in world.restrictions if one.name == "privileges")
    for one in world.restrictions:
        assert one.held or "no namespaces" in str(one)


@allowed
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide a directory")
def test_a_process_manager_is_hidden(tmp_path: Path) -> None:
    code = 'mkdir -p /run/pmix && exec "$@"'
    mount = "mount -t tmpfs none /run && "
    done = enter(["unshare", "--mount", "sh", "-c", mount + code, "sh"], tmp_path)
    assert told(done.stdout).pmix is False
    assert not told(done.stdout).refused


@pytest.mark.parametrize(
    "line",
    [
        {"event": "world"},
        {"event": "world", "shm": "x", "pmix": False, "network": False, "capabilities": 0, "user": 0},
        {"event": "world", "shm": 1, "pmix": 0, "network": 0, "capabilities": 0, "user": 0, "refused": {}},
    ],
)
def test_a_world_that_is_none_is_ignored(line: dict[str, object]) -> None:
    assert read_progress(json.dumps(line) + "\n").world is None


def test_a_wheel_cannot_tell_another_world() -> None:
    true = {"event": "world", "shm": None, "pmix": True, "network": True, "capabilities": 1, "no_new_privileges": False}
    lines = [
        {**true, "user": 0, "refused": {"network": "no"}},
        # A .pth file's code runs before the phase is told.
        {**true, "network": False, "user": 0, "refused": {}},
        {"event": "phase", "phase": "import"},
        {**true, "network": False, "user": 0, "refused": {}},
    ]
    got = read_progress("".join(json.dumps(line) + "\n" for line in lines))
    assert got.world and got.world.network and got.world.refused == {"network": "no"}
    assert [one.held for one in got.world.restrictions] == [True, False, False, False]
