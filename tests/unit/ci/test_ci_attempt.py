from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from trtllm_builder.build.journal import Journal
from trtllm_builder.ci import attempt as attempting
from trtllm_builder.ci import node
from trtllm_builder.ci.attempt import Task, attempt


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[int]:
    """A descriptor as that of a directory's lock."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(("code", "given", "kept"), [(2, False, False), (6, False, True), (2, True, True)])
def test_a_lock_that_is_refused_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: int, code: int, given: bool, kept: bool
) -> None:
    said: list[str] = []
    fake = tmp_path / "trtllm-build"
    fake.write_text(f"#!/bin/sh\n[ $1 = lock ] || exit {code}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(attempting, "OURS", (str(fake),))
    directory = tmp_path / "night"
    lock = tmp_path / "theirs.json" if given else directory / "lock.json"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("{}")
    # A build has begun with it and was stopped.
    workspace = directory / "workspace"
    workspace.mkdir(parents=True)
    Journal(workspace / "journal.jsonl").append("run", id="a")

    task = Task("canary", directory, lock=lock if given else None)
    assert attempt(task, {"PATH": "/bin"}, lambda event: said.append(event["text"]), hold).exit_code == code
    assert lock.exists() == kept and len(said) == 1
    attempt(task, {"PATH": "/bin"}, lambda event: said.append(event["text"]), hold)
    assert said[1].startswith("trtllm-build lock") != kept


def test_a_job_that_its_cluster_warns_stops_to_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "trtllm-build"
    fake.write_text('#!/bin/sh\necho \'{"event": "stage", "stage": "patch"}\'\nexec sleep 60\n')
    fake.chmod(0o755)
    monkeypatch.setattr(attempting, "OURS", (str(fake),))

    def say(line: str) -> None:
        if "stage" in line:
            signal.raise_signal(signal.SIGUSR2)

    monkeypatch.setattr(node, "print", say, raising=False)
    before = signal.getsignal(signal.SIGUSR2)
    try:
        result = node.NodeJob(Task("canary", tmp_path / "night"))()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (result["result"], result["exit_code"]) == ("interrupted", 143)
    assert result["fault"] == "the time that the cluster gives a job was over"
    assert result["seconds"] < 10
