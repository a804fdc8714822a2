"""gc with real mounts, without a superuser's powers, and killed while it deletes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.registry import RunEntry, register
from trtllm_builder.build.workspace import Workspace, tag_cache

pytestmark = pytest.mark.integration
GC = (sys.executable, "-m", "trtllm_builder", "gc", "--workspaces", "--yes", "--json")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One that a build left done, in a world of its own."""
    workspace = Workspace(tmp_path / "w")
    tag_cache(workspace.root)
    workspace.journal.append("run", id="a", pid=1, start=0)
    workspace.journal.append("done", id="a")
    workspace.source.mkdir()
    register(RunEntry("a", "canary", workspace.root, {}, 1.0), environ(tmp_path))
    return workspace


def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, **{f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("STATE", "CACHE", "DATA")}}


def collect(tmp_path: Path, *before: str) -> Any:
    done = subprocess.run([*before, *GC], env=environ(tmp_path), capture_output=True, text=True, check=True)
    return [item for item in json.loads(done.stdout)["items"] if item["kind"] == "workspace"]


@pytest.fixture
def as_root() -> Callable[..., tuple[str, ...]]:
    """Words to put before a command; skips where the machine does not let us."""

    def words(*prefix: str) -> tuple[str, ...]:
        program = shutil.which(prefix[0])
        if os.geteuid() or not program or subprocess.run([*prefix, "true"], capture_output=True).returncode:
            pytest.skip(f"{prefix[0]} does not work here")
        return prefix

    return words


def test_what_is_mounted_inside_is_not_deleted(workspace: Workspace, tmp_path: Path, as_root: Any) -> None:
    prefix = as_root("unshare", "--mount")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    (workspace.source / "data").mkdir()
    # The same file system, mounted a second time: device numbers do not tell.
    mount = f'mount --bind {tmp_path}/precious {workspace.source}/data && exec "$@"'
    (item,) = collect(tmp_path, *prefix, "sh", "-c", mount, "sh")
    assert item["stays"] == f"something is mounted at {workspace.source}/data"
    assert (tmp_path / "precious/file").exists() and workspace.journal.events()
    (item,) = collect(tmp_path)
    assert item["goes"] and not workspace.root.exists() and (tmp_path / "precious/file").exists()


def test_without_a_superusers_powers(workspace: Workspace, tmp_path: Path, as_root: Any) -> None:
    powerless = as_root("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (workspace.source / "link").symlink_to(outside)
    closed = workspace.source / "closed"
    closed.mkdir(mode=0o000)
    (item,) = collect(tmp_path, *powerless)
    assert item["stays"] == f"{closed} cannot be read: Permission denied" and workspace.source.exists()
    # Read-only directories are ours to open, as package managers leave them; what a link points at is not.
    closed.chmod(0o700)
    (closed / "file").touch()
    closed.chmod(0o500)
    (item,) = collect(tmp_path, *powerless)
    assert item["goes"] and not workspace.root.exists() and outside.stat().st_mode & 0o777 == 0o500


def test_killed_while_it_deletes(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(60):
        directory = workspace.source / f"{number}"
        directory.mkdir()
        for file in range(250):
            (directory / f"{file}").touch()
    child = subprocess.Popen([*GC], env=environ(tmp_path), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not workspace.journal.rebuilding() and time.monotonic() < deadline:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert workspace.root.exists() and workspace.journal.stamps() == {}
    # rm may still be at work and holds the workspace's lock until it is done.
    while (item := collect(tmp_path))[0]["stays"]:
        assert "is in use by process" in item[0]["stays"]
    assert not workspace.root.exists()
