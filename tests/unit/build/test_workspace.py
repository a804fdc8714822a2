from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError
from trtllm_builder.process import read_stat


def alive(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.state not in "ZX"


def test_two_runs_cannot_share_a_workspace(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with workspace.locked(), pytest.raises(HostError, match=str(os.getpid())), Workspace(tmp_path / "w").locked():
        pass
    with workspace.locked():
        assert (tmp_path / "w" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_what_a_dead_run_left_running_is_ended(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.root.mkdir()
    # A supervisor that starts a child in its own group, records it, and dies while the child holds the lock.
    code = """
import os, subprocess, sys
from pathlib import Path
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.process import read_stat
workspace = Workspace(Path(sys.argv[1]))
lock = workspace.locked().__enter__()
child = subprocess.Popen(["sleep", "600"], start_new_session=True, pass_fds=(lock,), stdout=-3, stderr=-3)
workspace.journal.append("child", group=child.pid, start=read_stat(child.pid).start)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(workspace.root)], capture_output=True, text=True)
    orphan = int(done.stdout)
    assert alive(orphan)
    with workspace.locked():
        assert not alive(orphan)


def test_another_group_with_the_recorded_number_is_left_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        workspace.journal.append("child", group=stranger.pid, start=1)
        with workspace.locked():
            time.sleep(0.05)
            assert alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()
