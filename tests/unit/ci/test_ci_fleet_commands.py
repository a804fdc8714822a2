"""``fleet`` as a command: what it refuses at once, and what it says of a fleet that is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trtllm_builder.ci.fleet import Member, new_fleet
from trtllm_builder.cli.fleet import app
from trtllm_builder.errors import UsageError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slurm", "partition=long"], "--slurm says nothing to --cluster local"),
        (["--cluster", "slurm", "--at-once", "2"], "--at-once says nothing to --cluster slurm"),
        (["--notify", "nosuch"], "nosuch is neither an http(s) URL nor a program"),
        (["--shared", "a b"], "a b has characters that"),
        (["--time", "soon"], "--time soon"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("trtllm_builder.ci.needs.matching", lambda *_: pytest.fail("it was planned"))
    error = CliRunner().invoke(app, ["--profiles", "canary", *words]).exception
    assert isinstance(error, UsageError)
    assert said in str(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["attach", "resume"])
def test_who_cannot_be_told_is_refused_by_those_that_follow(command: str) -> None:
    error = CliRunner().invoke(app, [command, "--notify", "nosuch"]).exception
    assert "nosuch is neither" in str(error)


def test_a_fleet_that_is_over_has_nothing_to_be_cancelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    made = new_fleet(
        "local", [Member("toy", (), 1, 1)], shared=tmp_path / "s", seconds=0, retries=0, at_once=1, options={},
        environ={},
    )  # fmt: skip
    made.write({"HOME": str(tmp_path)})
    made.journal.append("refused", profile="toy", why="no room")
    told = CliRunner().invoke(app, ["cancel"]).stdout
    assert "no job of it is left to be ended" in told
    assert "resume" not in told
