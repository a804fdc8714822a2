"""Profiles whose job left no result, or half of one: told, notified and kept like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from trtllm_builder.ci import result as results
from trtllm_builder.ci.history import read
from trtllm_builder.ci.history_page import history_page
from trtllm_builder.cli.history import app as history
from trtllm_builder.cli.summary import summary
from trtllm_builder.errors import UsageError

Make = Callable[..., results.Result]
app = typer.Typer()
app.command()(summary)
EXPECT = ("--expect", "a,b, c")


@pytest.fixture
def night(tmp_path: Path, make_result: Make) -> Path:
    """``a`` is well, of ``b`` there is half a result, of ``c`` nothing."""
    place = tmp_path / "night"
    text = json.dumps(make_result(profile="a").to_json())
    for name, content in (("a", text), ("b", text[:90])):
        (place / f"trtllm-wheel-{name}").mkdir(parents=True)
        (place / f"trtllm-wheel-{name}" / "result.json").write_text(content)
    return place


def _lines(index: Path) -> list[str]:
    return CliRunner().invoke(history, ["--index", str(index)]).stdout.splitlines()


def _told(tmp_path: Path, *words: str) -> tuple[Result, list[tuple[str, str]]]:
    """How the summary ended, and what of each profile was notified."""
    program = tmp_path / "tell"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/told.json\n")
    program.chmod(0o755)
    done = CliRunner().invoke(app, [*words, "--notify", str(program)])
    found = json.loads((tmp_path / "told.json").read_text())["results"]
    return done, [(one["profile"], one["result"]) for one in found]


def test_who_left_no_result_is_lost(night: Path, tmp_path: Path, validate: Callable[[str, object], None]) -> None:
    done, told = _told(tmp_path, str(night), *EXPECT, "--check")
    assert done.exit_code == 6
    assert told == [("a", "built"), ("b", "lost"), ("c", "lost")]
    assert "1 of 3 profiles have a wheel; lost: b, c" in done.stdout
    assert "| c | ❓ lost | - | - | - | - | - | - |" in done.stdout
    assert "its job left no result" in done.stdout and "trtllm-wheel-b/result.json is no result" in done.stdout
    validate("summary", json.loads((tmp_path / "told.json").read_text()))


def test_nobody_at_all_left_one(tmp_path: Path) -> None:
    done, told = _told(tmp_path, str(tmp_path / "nothere"), *EXPECT, "--check")
    assert (done.exit_code, told) == (6, [("a", "lost"), ("b", "lost"), ("c", "lost")])


def test_half_a_result_hides_no_good_one(night: Path, tmp_path: Path) -> None:
    done, told = _told(tmp_path, str(night), "--check")
    assert (done.exit_code, told) == (6, [("a", "built"), ("b", "lost")])


def test_the_history_has_them_once(night: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    for _ in range(2):
        done = CliRunner().invoke(history, ["add", str(night), *EXPECT, "--index", str(index)])
        assert done.exit_code == 0, done.output
    assert "c: its job left no result" in done.stdout and "3 were there already" in done.stdout
    found = read(str(index))
    assert [(one.profile, one.result) for one in found.results] == [("a", "built"), ("b", "lost"), ("c", "lost")]
    assert 'class="lost"' in history_page(found)
    assert ["c", "?", "lost"] in [line.split()[:3] for line in _lines(index)]


def test_an_empty_index_is_not_this_directory(night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["add", str(night), "--index", ""], ["--index", ""], ["--index", " "]):
        assert isinstance(CliRunner().invoke(history, words).exception, UsageError), words
    assert not (tmp_path / "history.jsonl").exists()
