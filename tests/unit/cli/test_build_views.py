"""What a build's watchers say: JSON lines that follow their schema, plain lines that do not flood a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.build.progress import Progress
from trtllm_builder.cli.live import _resources
from trtllm_builder.cli.views import JsonView, PlainView, choose_view

STEPS = [Progress("build", done, 60, float(done), 0.0, eta=60.0 - done) for done in range(1, 61)]


def test_json_lines_follow_the_schema(
    capsys: pytest.CaptureFixture[str], validate: Callable[[str, object], None]
) -> None:
    with JsonView() as view:
        view.note("a note")
        view.run("20260801-070643-3f2a", Path("/w/logs/20260801-070643-3f2a"))
        view.stage("compile", "begun", "")
        view.progress(Progress(), "a line")
        view.progress(Progress(elapsed=1.26), "another")
        for step in STEPS:
            view.progress(step, None)
        view.stage("compile", "done", "x.whl")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for event in events:
        validate("build-events", event)
    assert [event["event"] for event in events[:4]] == ["note", "run", "stage", "progress"]
    # One line a step, whatever upstream prints in between.
    assert len(events) == 4 + 1 + len(STEPS)
    assert events[3]["eta"] is None and events[-2]["eta"] == 0 and events[-2]["done"] == 60


def test_plain_lines_go_by_phase_and_time_not_by_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("trtllm_builder.cli.views.time.monotonic", lambda: now[0])
    with PlainView() as view:
        view.stage("fetch", "begun", "")
        view.stage("fetch", "done", "abc (1.0 s)")
        for second in range(3600):
            now[0] += 1
            view.progress(
                Progress("build", second, 3600, float(second), 0.0, eta=60.0, memory=2**30, disk_free=2**40, hits=3),
                "x",
            )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fetch      done  abc (1.0 s)"
    assert lines[1].strip() == (
        "build [0/3600], 0.0 s, about 1 min 00 s to go; memory 1.0 GiB, disk 1.0 TiB free, 3 of 3 from the cache"
    )
    # Two a minute for ten minutes, then one every two minutes.
    assert 43 <= len(lines) - 1 <= 47


def test_who_waits_for_memory_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("build", 1, 9, 1.0, memory=2**30, disk_free=2**40, jobs=2, cpu=1.5, waiting=3)
    with PlainView() as view:
        view.progress(progress, None)
    assert "memory 1.0 GiB, 3 wait for memory, disk 1.0 TiB free" in capsys.readouterr().out
    (row,) = _resources(progress, 200)
    assert "2 jobs on 1.5 cores | 3 wait for memory" in row and "wait" not in _resources(Progress(), 200)[0]
    assert "| 1 job on" in _resources(Progress(jobs=1), 200)[0]


def test_without_a_terminal_lines_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(choose_view(False), PlainView)
    assert isinstance(choose_view(True), JsonView)
