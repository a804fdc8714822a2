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
from trtllm_builder.errors import HostError, UsageError

Validate = Callable[[str, object], None]
app = typer.Typer()
app.command()(nightly)
# As a build that fails says it, between words of a program that knows nothing of events.
_ERROR: dict[str, object] = {
    "exit_code": 6, "what": "a slip", "where": None, "remedy": "mend it", "log": None, "others": [],
}  # fmt: skip
_EVENTS: list[dict[str, object]] = [
    {"event": "run", "id": "20260801-070643-3f2a", "logs": "/nowhere"},
    {"event": "stage", "stage": "compile", "state": "begun", "detail": ""},
    {"event": "note", "text": "\x1b[31mred"},
    {"event": "error", "error": _ERROR},
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    fake = tmp_path / "trtllm-build"
    fake.touch(0o755)
    monkeypatch.setattr(attempting, "OURS", (str(fake),))

    def begin(*words: str) -> Result:
        said = "\n".join(json.dumps({"schema": 1, **event}) for event in _EVENTS)
        fake.write_text(f"#!/bin/sh\n[ $1 = lock ] && exit 0\ncat << 'END'\n{said}\na word\nEND\nexit 6\n")
        return CliRunner().invoke(app, ["-p", "toy", "--dir", str(tmp_path / "night"), *words])

    return begin


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--notify", "no/such/program"], "no/such/program is neither an http(s) URL nor a program"),
        (["--notify", "ftp://a/b"], "ftp://a/b is neither"),
        (["--dir", "with a space"], "with a space has characters that"),
    ],
)
def test_what_cannot_go_well_is_refused_before_anything_is_done(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    error = run(*words).exception
    assert isinstance(error, UsageError)
    assert said in str(error)
    assert words[0] in f"{error} {error.remedy}"
    assert sorted(tmp_path.iterdir()) == before


def test_a_remedy_names_the_option_that_its_reader_has(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, told in (
        ("give other directories with --workspace and --out", "give other directories with --dir"),
        ("choose another --workspace", "choose another --dir"),
        ("run trtllm-build resume --workspace D", "run trtllm-build resume --workspace D"),
    ):
        monkeypatch.setitem(_ERROR, "remedy", given)
        result = json.loads(run("--json").stdout.splitlines()[-1])["result"]
        assert result["remedy"] == told


def test_a_directory_that_cannot_be_made_is_a_sentence(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = run("--dir", str(tmp_path / "file" / "night")).exception
    assert isinstance(error, HostError)
    assert error.remedy == "make it writable, or give other directories with --dir"


@pytest.mark.parametrize("told", ["http://127.0.0.1:9/", "./fails"])
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
