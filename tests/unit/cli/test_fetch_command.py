"""``fetch`` and ``--from-bundle`` on the command line: what cannot be is said before anything is downloaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.cli.app import main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["trtllm-build", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), capsys.readouterr().err

    return call


def test_a_directory_is_no_source_to_fetch(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    status, err = run("fetch", "--profile", "canary", "--source", str(tmp_path))
    assert status == 2 and "is on this machine already" in err


@pytest.mark.parametrize(("place", "said"), [("", "is a directory"), ("nowhere/b.tar", "is no directory")])
def test_where_the_bundle_cannot_be_written(
    run: Callable[..., tuple[int, str]], tmp_path: Path, place: str, said: str
) -> None:
    status, err = run("fetch", "--profile", "canary", "--bundle", str(tmp_path / place))
    assert status == 2 and said in err and not list(tmp_path.iterdir())


def test_no_bundle_is_a_sentence(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x" * 600)
    for name, said in (("nothing", "is not a file"), ("text", "not a sound bundle")):
        status, err = run("--profile", "canary", "--out", str(tmp_path), "--from-bundle", str(tmp_path / name))
        assert status == 4 and said in err and "Traceback" not in err
