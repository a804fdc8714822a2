"""Our own command, run as a user runs it, with caches of this test session and the tools of the data directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import data_dir

COMMAND = (sys.executable, "-m", "trtllm_builder")


@dataclass
class Builder:
    """``workspace`` and ``out`` are this test's; compile cache and downloads are shared by the session."""

    environ: dict[str, str]
    workspace: Path
    out: Path
    words: tuple[str, ...] = ()
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def argv(self, *words: str) -> list[str]:
        where = ("--profile", "canary", "--workspace", str(self.workspace), "--out", str(self.out))
        return [*COMMAND, *where, *self.words, *words]

    def run(self, *words: str, expect: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*words), env={**self.environ, **environ}, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def events(self, *words: str, expect: int = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("--json", *words, expect=expect).stdout.splitlines()]

    def interrupt_when(self, ready: Callable[[dict[str, Any]], bool], how: signal.Signals) -> int:
        """Start a build, send ``how`` to our process alone at the first event that is ``ready``; its exit status."""
        child = subprocess.Popen(
            self.argv("--json"), env=self.environ, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.started.append(child)
        assert child.stdout is not None
        with child.stdout as stream:
            for line in stream:
                if ready(json.loads(line)):
                    child.send_signal(how)
                    break
            else:
                pytest.fail("the build ended before the moment came")
            return child.wait(60)

    def states(self, events: list[dict[str, Any]]) -> dict[str, str]:
        """Stage to how it ended: done or kept."""
        return {event["stage"]: event["state"] for event in events if event["event"] == "stage"}

    @property
    def wheel(self) -> Path:
        (wheel,) = self.out.glob("*.whl")
        return wheel

    @property
    def record(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.wheel.with_name(f"{self.wheel.name}.record.json").read_text())
        return loaded


@pytest.fixture(scope="session")
def shared_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    passed = (
        "PATH",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "PIP_INDEX_URL",
        "PIP_FIND_LINKS",
        "PYENV_ROOT",
    )
    shared = tmp_path_factory.mktemp("shared")
    return {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "HOME": str(tmp_path_factory.mktemp("user")),
        "XDG_CACHE_HOME": str(shared),
        # Tools are kept where a user's are, so that a second test run finds them.
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "LANG": "C.UTF-8",
    }


@pytest.fixture
def builder(shared_environ: dict[str, str], tmp_path: Path) -> Iterator[Builder]:
    # What an earlier test built from the same inputs would be taken again.
    forget_wheels(shared_environ)
    builder = Builder(shared_environ, tmp_path / "workspace", tmp_path / "out")
    yield builder
    for child in builder.started:
        if child.poll() is None:
            child.kill()
            child.wait()


def forget_wheels(environ: dict[str, str]) -> None:
    """The store of finished wheels (build/kept.py)."""
    store = Path(environ["XDG_CACHE_HOME"]) / "trtllm-builder" / "wheels"
    shutil.rmtree(store, ignore_errors=True)
    if store.is_file():
        store.unlink()


def living_in(directory: Path) -> list[str]:
    """Command lines of processes whose working directory is inside ``directory``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(directory):
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found


@pytest.fixture
def left_running(builder: Builder) -> Callable[[], list[str]]:
    return lambda: living_in(builder.workspace)
