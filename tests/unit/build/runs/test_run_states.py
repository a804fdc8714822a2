"""How a run fares, from its journal and /proc, and what the commands make of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from trtllm_builder.build.progress import Progress
from trtllm_builder.build.state import Watched, find_running, run_state, run_states
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import UsageError

Command = Callable[..., tuple[int, str, str]]
Validate = Callable[[str, object], None]
CODES = {"running": 75, "done": 0, "failed": 6, "interrupted": 143, "died": 137, "gone": 3}


def make(world: Any, state: str) -> Any:
    entry = world.run(f"run-{state}", state if state != "gone" else "done")
    if state == "gone":
        shutil.rmtree(entry.workspace)
    return entry


@pytest.mark.parametrize("state", CODES)
def test_status_of_every_state(world: Any, command: Command, validate: Validate, state: str) -> None:
    entry = make(world, state)
    (entry.logs.parent.is_dir() and entry.logs / "compile.log").write_text("one\ntwo\n") if state != "gone" else None
    assert run_state(entry).state == state
    code, out, err = command("status", "--json")
    document = json.loads(out)
    validate("status", document)
    assert code == CODES[state] and document["state"] == state and err == ""
    assert document["exit_code"] == (None if state == "running" else CODES[state])
    assert document["resumable"] == (state in ("failed", "interrupted", "died"))
    code, out, _ = command("status")
    assert code == CODES[state] and f"\nstate      {state}" in out
    assert ("mend it" in out) == (state == "failed")
    assert (f"trtllm-build resume {entry.identifier}" in out) == document["resumable"]
    assert ("/out/x.whl" in out) == (state == "done")
    assert ("  two" in out) == (state in ("running", "interrupted", "died"))


@pytest.mark.parametrize("state", ["failed", "interrupted", "died", "gone", "done"])
def test_attach_and_follow_end_as_the_run_did(world: Any, command: Command, state: str) -> None:
    entry = make(world, state)
    if state != "gone":
        (entry.logs / "compile.log").write_text("one\ntwo")
    code, out, err = command("attach")
    assert code == CODES[state]
    if state == "done":
        assert "x.whl PASSED" in out and "/out/x.whl" in out
    else:
        assert err.startswith("error: ") and "Traceback" not in err
    code, out, _ = command("logs", "-f") if state != "gone" else (CODES["gone"], "two", "")
    assert code == CODES[state] and "two" in out, "a line that was never ended is shown at the end"


def test_runs_are_listed(world: Any, command: Command, validate: Validate) -> None:
    assert command("runs") == (0, "no run is known here; start one with trtllm-build --profile NAME\n", "")
    for number, state in enumerate(("died", "running")):
        world.run(f"run-{state}", state, root=world.base / "workspaces" / state, age=-number)
    (world.base.parent.parent / "state/trtllm-builder/runs/x.json").write_text("{")
    shutil.rmtree(world.run("old", root=world.base / "workspaces" / "old", age=9).workspace)
    code, out, _ = command("runs", "--json")
    document = json.loads(out)
    validate("runs", document)
    assert code == 0 and [one["id"] for one in document["runs"]] == ["run-running", "run-died"]
    assert document["left_out"] == 1 and len(document["damaged"]) == 1
    assert [one["id"] for one in json.loads(command("runs", "--all", "--json")[1])["runs"]][-1] == "old"
    lines = command("runs")[1].splitlines()
    assert lines[0].startswith("RUN") and "running" in lines[1] and "died" in lines[2]
    assert "1 more with --all" in lines[3] and "damaged" in lines[4]


def test_a_resumed_run_adds_up_and_a_later_run_does_not_change_an_earlier_one(world: Any) -> None:
    first = world.run("a", "interrupted")
    assert run_state(world.run("a", "running")).state == "running"
    again = world.run("a", "done")
    assert run_state(first) == run_state(again) and run_state(first).state == "done"
    second = world.run("b", "failed")
    assert [state.state for state in run_states([first, second])] == ["done", "failed"]
    assert run_state(first).result == {
        "record": {"wheel": "/out/x.whl", "record": "/out/x.whl.record.json", "sha256": "0" * 64},
        "verify": {"lines": ["x.whl PASSED"], "report": {}},
    }


def test_status_tells_what_the_compile_cache_gave(world: Any, command: Command, validate: Validate) -> None:
    entry = world.run("a", "running")
    step = {"event": "progress", "line": None, "progress": {"phase": "build", "hits": 1, "misses": 3}}
    (entry.logs / "events.jsonl").write_text(json.dumps(step) + "\n")
    assert "cache      1 of 4 compilations came from the cache (25%)\n" in command("status")[1]
    entry = world.run("b", "done", root=entry.workspace.with_name("b"))
    cache = {"hits": 20, "misses": 0, "remote_hits": 19, "remote": ["redis://host"], "trusted": False}
    result = {"lines": [], "report": {"compiled": cache}}
    identity = {"run": "b", "stage": "verify"}
    journal = Workspace(entry.workspace).journal
    journal.append("end", **identity, result=result)
    journal.append("done", id="b", kept=False)
    document = json.loads(command("status", "b", "--json")[1])
    validate("status", document)
    assert document["cache"] == {"hits": 20, "misses": 0}
    assert "20 of 20 compilations came from the cache (100%), 19 of them from redis://host" in command("status", "b")[1]
    hostile: list[dict[str, Any]] = [{}, {"report": []}, {"report": {"compiled": {**cache, "hits": "many"}}}]
    for broken in hostile:
        journal.append("end", **identity, result=broken)
        journal.append("done", id="b", kept=False)
        assert json.loads(command("status", "b", "--json")[1])["cache"] is None


def test_a_hostile_journal_is_no_traceback(world: Any, command: Command) -> None:
    entry = world.run("a", "running")
    with (entry.workspace / "journal.jsonl").open("a") as journal:
        for line in (
            '{"event": "failed", "run": "a", "stage": ["x"], "error": "text", "exit_code": "six", "time": "now"}',
            '{"event": "child", "run": "a", "group": "x", "start": null}',
            '{"event": "run", "id": 7}',
            '{"event": "interrupted", "run": "b", "signal": 1e999}',
        ):
            journal.write(line + "\n")
        journal.write('{"event": "done", "id": "a"')
    for words in (("status",), ("status", "--json"), ("runs",), ("attach",), ("logs",), ("stop",), ("gc", "--all")):
        code, _, err = command(*words)
        assert "Traceback" not in err and code in (0, 70)


def test_the_run_that_runs_is_meant(world: Any) -> None:
    world.run("old", "running", root=world.base / "workspaces/one", age=5)
    world.run("new", "done", root=world.base / "workspaces/two")
    assert find_running(None, world.environ).identifier == "old"
    world.run("other", "running", root=world.base / "workspaces/three", age=9)
    assert find_running(None, world.environ).identifier == "old", "the newest that runs"
    with pytest.raises(UsageError) as refused:
        find_running(None, world.environ, only=True)
    assert "other (canary)" in refused.value.remedy
    assert find_running("new", world.environ, only=True).identifier == "new"


def test_watching_sees_the_end(world: Any) -> None:
    entry = world.run("a", "running")
    watched = Watched(entry)
    assert watched.state() is watched.state()
    world.run("a", "failed")
    assert watched.state().state == "failed"


def test_status_tells_how_far_it_is(world: Any, command: Command) -> None:
    from trtllm_builder.build.events import Recorder

    class Silent:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    entry = world.run("a", "running")
    recorder = Recorder(Silent())
    recorder.run("a", entry.logs)
    recorder.progress(Progress("build", 30, 60, 30.0, 0.0), "[30/60] Building x")
    recorder.close()
    document = json.loads(command("status", "--json")[1])
    assert document["progress"]["done"] == 30 and document["progress"]["total"] == 60
    assert "build [30/60]" in command("status")[1]
