"""What a build told its watchers is written down, read back the same, and followed past cut lines and restarts."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build import events
from trtllm_builder.build.events import Recorder, Tail, follow, read_event, replay
from trtllm_builder.build.progress import Progress


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def run(self, identifier: str, logs: Path) -> None:
        self.calls.append(("run", identifier, logs))

    def stage(self, name: str, state: str, detail: str) -> None:
        self.calls.append(("stage", name, state, detail))

    def progress(self, progress: Progress, line: str | None) -> None:
        self.calls.append(("progress", progress, line))

    def note(self, text: str) -> None:
        self.calls.append(("note", text))


STEP = Progress("build", 3, 9, 4.5, 1.0, peak_memory=7, peak_disk=8, running=(("x.cu", 2.5),))


def tell(observer: Any, logs: Path, *, early: bool = True) -> None:
    if early:
        observer.note("assumed")
        observer.stage("preflight", "done", "well")
    observer.run("a", logs)
    observer.stage("compile", "begun", "")
    observer.progress(STEP, "[3/9] Building x")
    observer.stage("compile", "done", "x.whl")


def test_another_watcher_hears_the_same(world: Any) -> None:
    entry = world.run("a", "done")
    direct, later = Heard(), Heard()
    recorder = Recorder(direct)
    tell(recorder, entry.logs)
    recorder.close()
    for event in follow(entry):
        replay(event, later)
    # The name comes first, then what was said before there was one.
    assert later.calls == [direct.calls[2], *direct.calls[:2], *direct.calls[3:]]
    times = [json.loads(line)["time"] for line in (entry.logs / "events.jsonl").read_text().splitlines()]
    assert len(times) == 6 and times[1] <= times[0]


def test_progress_is_written_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0.0, 0.1)
    monkeypatch.setattr(events.time, "monotonic", lambda: next(ticks))
    recorder = Recorder(Heard())
    recorder.run("a", tmp_path)
    for number in range(100):
        recorder.progress(Progress("build", number, 100), f"[{number}/100]")
    recorder.stage("compile", "done", "")
    recorder.close()
    written = [event for line in Tail(tmp_path / "events.jsonl").lines() if (event := read_event(line))]
    steps = [event for event in written if event["event"] == "progress"]
    assert 9 <= len(steps) <= 20 and steps[-1]["line"] == "[99/100]", "the last one is never lost"


def test_a_cut_line_swallows_nothing_and_a_restart_is_followed_from_its_start(world: Any) -> None:
    entry = world.run("a", "died")
    recorder = Recorder(Heard())
    tell(recorder, entry.logs)
    recorder.close()
    path = entry.logs / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = Heard()
    recorder = Recorder(again)
    tell(recorder, entry.logs, early=False)
    recorder.close()
    heard = Heard()
    for event in follow(entry):
        replay(event, heard)
    assert heard.calls == again.calls
    assert sum(read_event(line) is None for line in path.read_text().splitlines()) == 1


def test_a_full_disk_does_not_end_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observer = Heard()
    recorder = Recorder(observer)
    recorder.run("a", tmp_path)
    real = events.os.write

    def full(handle: int, data: bytes) -> int:
        if b"lost" in data:
            real(handle, data[:5])
            raise OSError(28, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(events.os, "write", full)
    recorder.note("lost")
    recorder.note("kept")
    recorder.close()
    assert observer.calls[1:] == [("note", "lost"), ("note", "kept")]
    told = [event for line in Tail(tmp_path / "events.jsonl").lines() if (event := read_event(line))]
    assert [event.get("text") for event in told] == [None, "kept"]


def test_following_goes_on_until_the_run_is_over(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = world.run("a", "running")
    recorder = Recorder(Heard())
    recorder.run("a", entry.logs)
    path = entry.logs / "events.jsonl"

    def append(text: str) -> None:
        with path.open("a") as stream:
            stream.write(text)

    # What happens while the follower sleeps, one thing a nap.
    naps = iter([
        lambda: recorder.note("first"),
        lambda: append('{"event": "note", "te'),
        lambda: append('xt": "in two parts"}\n[1]\nrubbish\n{"event": "later", "x": 1}\n'),
        lambda: (recorder.note("last"), append('{"event": "note", "text": "unended"}'), world.run("a", "failed")),
    ])  # fmt: skip
    monkeypatch.setattr(events.time, "sleep", lambda _: next(naps)())
    heard = Heard()
    for event in follow(entry):
        replay(event, heard)
    assert [call[-1] for call in heard.calls[1:]] == ["first", "in two parts", "last", "unended"]


def test_events_of_another_shape_are_passed_over() -> None:
    heard = Heard()
    for event in (
        {"event": "run"},
        {"event": "stage", "stage": "x"},
        {"event": "progress", "line": None, "progress": [1]},
        {"event": "progress", "line": None, "progress": {"phase": "build", "of a later version": 1}},
    ):
        replay(event, heard)
    assert heard.calls == [("progress", Progress("build"), None)]
