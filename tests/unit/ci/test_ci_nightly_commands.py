"""``nightly`` and ``history add`` as commands: what they print, and that who is told can spoil nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from trtllm_builder.ci import attempt as attempting
from trtllm_builder.cli.history import app as history
from trtllm_builder.cli.nightly import nightly

Validate = Callable[[str, object], None]
app = typer.Typer()
app.command()(nightly)
# As a build that fails says it, between words of a program that knows nothing of events.
_EVENTS: list[dict[str, object]] = [
    {"event": "run", "id": "20260801-070643-3f2a", "logs": "/nowhere"},
    {"event": "stage", "stage": "compile", "state": "begun", "detail": ""},
    {"event": "note", "text": "\x1b[31mred"},
    {
        "event": "error",
        "error": {"exit_code": 6, "what": "a slip", "where": None, "remedy": "mend it", "log": None, "others": []},
    },
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    fake = tmp_path / "trtllm-build"
    said = "\n".join(json.dumps({"schema": 1, **event}) for event in _EVENTS)
    fake.write_text(f"#!/bin/sh\n[ $1 = lock ] && exit 0\ncat << 'END'\n{said}\na word\nEND\nexit 6\n")
    fake.chmod(0o755)
    monkeypatch.setattr(attempting, "OURS", (str(fake),))
    return lambda *words: CliRunner().invoke(app, ["-p", "toy", "--dir", str(tmp_path / "night"), *words])


def test_every_line_of_nightly_follows_its_schema(
    run: Callable[..., Result], tmp_path: Path, validate: Validate
) -> None:
    done = run("--json", "--index", "", "--outputs", str(tmp_path / "out"))
    assert done.exit_code == 6, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        validate("nightly", line)
    assert [one["event"] for one in lines] == ["command", "command", "run", "stage", "note", "error", "result"]
    assert (lines[-1]["result"]["fault"], lines[-1]["result"]["stage"]) == ("a slip", "compile")
    assert "--index" not in lines[1]["text"], "an empty one is none"
    assert (tmp_path / "out").read_text() == "state=failed\nexit_code=6\n"


@pytest.mark.parametrize("told", ["no/such/program", "http://127.0.0.1:9/", "./fails"])
def test_who_is_told_can_spoil_nothing(
    run: Callable[..., Result], tmp_path: Path, told: str, monkeypatch: pytest.MonkeyPatch, validate: Validate
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    Path("fails").write_text("#!/bin/sh\necho no room >&2\nexit 9\n")
    Path("fails").chmod(0o755)
    done = run("--notify", told, "--json")
    notes = [json.loads(line) for line in done.stdout.splitlines()][-2:]
    assert (done.exit_code, notes[0]["event"], notes[1]["event"]) == (6, "note", "result"), done.output
    validate("nightly", notes[0])
    assert "note: " in run("--notify", told).stdout


def test_what_history_says_of_what_it_was_given(tmp_path: Path, make_result: Any, validate: Validate) -> None:
    (tmp_path / "result.json").write_text(json.dumps(make_result().to_json()))
    for added, known in ((1, 0), (0, 1)):
        done = CliRunner().invoke(history, ["add", str(tmp_path), "--index", str(tmp_path), "--json"])
        document = json.loads(done.stdout)
        validate("history-add", document)
        assert (document["added"], document["known"]) == (added, known)
    (line,) = CliRunner().invoke(history, ["--index", str(tmp_path), "--json"]).stdout.splitlines()
    validate("result", json.loads(line))
