from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.errors import HostError, UsageError
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
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.process import read_stat
workspace = Workspace(Path(sys.argv[1]))
held = workspace.locked()
lock = held.__enter__()
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
        tag_cache(workspace.root)
        workspace.journal.append("child", group=stranger.pid, start=1)
        with workspace.locked():
            time.sleep(0.05)
            assert alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_directory_with_somebody_elses_files_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    mine = tmp_path / "bin" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    with pytest.raises(UsageError, match="no build of ours made"), Workspace(tmp_path).locked():
        pass
    assert list(tmp_path.iterdir()) == [mine.parent] and mine.read_text() == "precious"
    with pytest.raises(UsageError, match="is not a directory"):
        Workspace(mine).check_ours()
    # A CACHEDIR.TAG of another program is none of ours.
    (tmp_path / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    with pytest.raises(UsageError):
        Workspace(tmp_path).check_ours()
    Workspace(tmp_path / "new").check_ours()


def test_a_compiler_in_a_group_of_its_own_is_ended_with_its_session(tmp_path: Path) -> None:
    # As ninja starts compilers: another group, the same session, and the leader already gone.
    code = (
        "import os, time; os.fork() and os._exit(0); os.setpgid(0, 0); print(os.getpid(), flush=True); time.sleep(600)"
    )
    workspace = Workspace(tmp_path / "w")
    tag_cache(workspace.root)
    child = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, cwd=workspace.root, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout as output:
        compiler = int(output.readline())
    child.wait()
    workspace.journal.append("child", group=child.pid, start=1)
    assert alive(compiler)
    with workspace.locked():
        assert not alive(compiler)


def test_a_child_that_was_not_yet_written_down_is_ended_by_the_lock_it_inherited(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
from pathlib import Path
from trtllm_builder.build.workspace import Workspace
held = Workspace(Path(sys.argv[1])).locked()
lock = held.__enter__()
child = subprocess.Popen(["sleep", "600"], start_new_session=True, pass_fds=(lock,), stdout=-3, stderr=-3)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "w")], capture_output=True, text=True)
    orphan = int(done.stdout)
    assert alive(orphan)
    with Workspace(tmp_path / "w").locked():
        assert not alive(orphan)


def test_a_living_owner_keeps_the_workspace_and_its_children(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with workspace.locked() as lock:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True, pass_fds=(lock,))
        try:
            with pytest.raises(HostError, match="in use"), Workspace(tmp_path / "w").locked():
                pass
            assert alive(child.pid)
        finally:
            child.kill()
            child.wait()


def test_an_owner_s_number_that_another_process_has_now_holds_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with workspace.locked():
        pass
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        (tmp_path / "w" / "lock").write_text(f"{stranger.pid} 1\n")
        with workspace.locked():
            assert alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path / "w" / "lock":
            raise OSError(errno.ENOLCK, "No locks available")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        Workspace(tmp_path / "w").locked(),
        pytest.raises(HostError, match=f"in use by process {os.getpid()}"),
        Workspace(tmp_path / "w").locked(),
    ):
        pass
    with Workspace(tmp_path / "w").locked(), Workspace(tmp_path / "other").locked():
        pass


def test_a_kill_while_the_tag_is_written_leaves_a_workspace_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".CACHEDIR.TAG.new.4711").write_text("Signature: 8a4")
    with Workspace(tmp_path).locked():
        assert (tmp_path / "CACHEDIR.TAG").read_text().endswith("\n")


def test_many_can_tag_one_directory_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trtllm_builder.build.workspace import tag_cache; sys.stdin.read(); "
    )
    code += "[tag_cache(Path(sys.argv[1], str(n))) for n in range(200)]"
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE) for _ in range(2)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    assert [child.wait(30) for child in children] == [0, 0]


def test_every_name_of_a_workspace_is_known_as_ours(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name, member in vars(Workspace).items():
        if isinstance(member, property) and isinstance(path := getattr(workspace, name), Path) and path != tmp_path:
            path.touch()
            (tmp_path / f".{path.name}.new").touch()
    for name in ("journal.jsonl", "CACHEDIR.TAG", ".CACHEDIR.TAG.new.12", ".source.source.json", ".source.source.new"):
        (tmp_path / name).touch()
    (tmp_path / ".source.partial").touch()
    assert {"gitconfig", "lock", "configured-with"} <= {path.name for path in tmp_path.iterdir()}
    assert workspace.strange() == []
    for name in ("thesis", ".thesis.new", "lock.new", ".lock", ".new"):
        (tmp_path / name).touch()
    assert workspace.strange() == [".lock", ".new", ".thesis.new", "lock.new", "thesis"]
