"""A fleet on this machine: a profile broken on purpose, a node that dies at work, a follower that leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import data_dir
from trtllm_builder.process import processes

pytestmark = pytest.mark.integration
COMMAND = (sys.executable, "-m", "trtllm_builder")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    passed = (
        "PATH",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "PIP_INDEX_URL",
        "PIP_FIND_LINKS",
        "PYENV_ROOT",
    )
    return {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "HOME": str(tmp_path_factory.mktemp("user")),
        # Tools are kept where a user's are, so that a second test run finds them.
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "LANG": "C.UTF-8",
    }


@pytest.fixture
def follow(environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        argv = [*COMMAND, *words, "--json"]
        started.append(subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def _until(child: subprocess.Popen[str], ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for line in child.stdout or ():
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "job" and ready(event):
            return event
    pytest.fail("the fleet ended before")


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _assert_one_run(workspace: Path) -> None:
    """Gone on with: what was patched was not patched again."""
    events = [json.loads(line) for line in (workspace / "journal.jsonl").read_text().splitlines()]
    assert len({event["id"] for event in events if event["event"] == "run"}) == 1
    assert [event["why"] for event in events if event["event"] == "begin" and event["stage"] == "patch"] == [""]


def test_a_fleet_survives_its_node_and_its_follower(
    environ: dict[str, str], follow: Callable[..., subprocess.Popen[str]], tmp_path: Path, validate: Callable[..., None]
) -> None:
    profiles, shared = tmp_path / "profiles", tmp_path / "shared"
    profiles.mkdir()
    source = "source: {url: 'file:///no/such.git', ref: main}"
    (profiles / "a-broken.yaml").write_text(f"schema: 1\nextends: canary\n{source}\n")
    (profiles / "b-good.yaml").write_text("schema: 1\nextends: canary\n")
    words = ("fleet", "--profiles", "[ab]-*", "--profile-dir", str(profiles), "--shared", str(shared), "--at-once", "2")
    child = follow(*words)
    seen = _until(child, lambda one: one["profile"] == "b-good" and one["doing"].startswith("compile"))
    # As a kernel that is out of memory does: the job's process (under that of submitit) is gone, its build at work.
    _, attempt, *orphans = _descendants(int(seen["job"]))
    assert orphans
    os.kill(attempt, signal.SIGKILL)
    seen = _until(
        child,
        lambda one: one["profile"] == "b-good" and one["attempts"] == 2 and one["doing"].startswith("compile"),
    )
    assert not set(orphans) & set(processes()), "two builds would be at work in one workspace"
    # As when the power is cut: the node's processes are gone, whatever session they are in, without a word.
    for pid in reversed(_descendants(int(seen["job"]))):
        os.kill(pid, signal.SIGKILL)
    again = _until(child, lambda one: one["profile"] == "b-good" and one["attempts"] == 3)
    assert again["job"] != seen["job"]
    # Whoever follows may leave; the job goes on.
    os.kill(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "fleet attach" in out
    assert Path(f"/proc/{again['job']}").exists()
    out, _ = follow("fleet", "attach").communicate(timeout=200)
    last = json.loads(out.splitlines()[-1])
    validate("fleet", last)
    broken, good = last["jobs"]
    assert (broken["result"]["result"], broken["result"]["exit_code"]) == ("failed", 4)
    assert "file:///no/such.git" in broken["result"]["fault"]
    assert (good["result"]["result"], good["attempts"]) == ("built", 3)
    report = shared / "fleets" / last["fleet"] / "reports" / "b-good"
    validate("result", json.loads((report / "result.json").read_text()))
    assert (report / good["result"]["wheel"]).is_file()
    assert json.loads((report / "verify.json").read_text())["passed"] is True
    _assert_one_run(shared / "builds" / "b-good" / "workspace")
    assert not list((report.parent / "a-broken").glob("*.whl"))
    done = subprocess.run([*COMMAND, "fleet", "status"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert "fleet resume" in done.stdout


def test_a_night_whose_time_is_over_can_be_gone_on_with(
    environ: dict[str, str], tmp_path: Path, validate: Callable[..., None]
) -> None:
    outputs = tmp_path / "outputs"
    words = ("nightly", "-p", "canary", "--dir", str(tmp_path / "night"))
    began = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *words, "--deadline", "2 s", "--outputs", str(outputs), "--json"],
        env=environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode in (130, 143), done.stdout + done.stderr
    assert time.monotonic() - began < 60
    for line in done.stdout.splitlines():
        validate("nightly", json.loads(line))
    assert outputs.read_text() == f"state=unfinished\nexit_code={done.returncode}\n"
    result = json.loads((tmp_path / "night" / "report" / "result.json").read_text())
    assert result["result"] == "interrupted"
    assert "its time of 2.0 s was over" in result["fault"]


def test_a_night_that_is_killed_in_compile_goes_on(environ: dict[str, str], tmp_path: Path) -> None:
    night = tmp_path / "night"
    argv = [*COMMAND, "nightly", "-p", "canary", "--dir", str(night), "--json"]
    # Without the wheels and compiled files of the tests before.
    environ = {**environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        for line in child.stdout or ():
            event = json.loads(line)
            if event["event"] == "progress" and event["phase"] == "build":
                break
        os.killpg(child.pid, signal.SIGKILL)
    assert not (night / "report" / "result.json").exists()
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["result"]["result"] == "built"
    _assert_one_run(night / "workspace")
