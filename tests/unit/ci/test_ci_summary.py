from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trtllm_builder.ci.result import Result
from trtllm_builder.ci.summary import escape, markdown
from trtllm_builder.cli.summary import summary
from trtllm_builder.errors import UsageError

Make = Callable[..., Result]
app = typer.Typer()
app.command()(summary)


def test_what_was_built_and_what_not(make_result: Make) -> None:
    failed = make_result(
        profile="big", result="failed", exit_code=6, wheel=None, sha256=None, size=None, stage="compile",
        fault="a compiler was killed for memory", remedy="fewer jobs", drift=4, failed_checks=("gpu-code",),
    )  # fmt: skip
    text = markdown([make_result(link="https://ci.example/runs/1?check=2"), failed])
    assert "[✅ built](https://ci.example/runs/1?check=2)" in text
    assert "18 of 20" in text
    assert "572.2 KiB" in text
    assert "❌ failed" in text
    assert "a compiler was killed for memory" in text
    assert "> fewer jobs" in text
    assert "4 changes" in text
    assert f"{'ab' * 32}  tensorrt_llm-0.0.0-cp311-cp311-linux_x86_64.whl" in text


@pytest.mark.parametrize("evil", [
    "<img src=x onerror=alert(1)>", "| a | b |\n|---|", "[x](javascript:alert(1))", "`code` **bold** ~~x~~",
    "@everyone #12", ":boom: http://tracker", "```\n# heading", "$\\evil$", "::error::x", "![x](http://tracker)",
])  # fmt: skip
def test_text_from_a_log_stays_text(make_result: Make, evil: str) -> None:
    shown = escape(evil)
    assert not set(shown) & set("<>[]`*|\n@$~\\") and not re.search(r":[:/\w]|(?<!&)#\d|^#", shown)
    text = markdown([make_result(result="failed", fault=evil, remedy=evil, profile=evil, link=evil)])
    assert evil not in text
    # The table keeps its eight columns.
    assert all(line.count("|") == 9 for line in text.splitlines() if line.startswith("|"))


def test_a_sentence_stays_one(make_result: Make) -> None:
    text = "The compiler refuses line 6 of /a/numeric.cuh: #error broken (on purpose)!"
    assert escape(text) == text and escape("# no heading") == "&#35; no heading"


def test_a_long_night_fits_the_page(make_result: Make) -> None:
    text = markdown([make_result(profile=f"p{n}", result="failed", fault="<" * 3000) for n in range(300)])
    assert len(text.encode()) < 2**20
    assert text.endswith("and more\n")


def test_the_command_reads_directories_and_drift(
    make_result: Make, tmp_path: Path, validate: Callable[..., None]
) -> None:
    for name in ("b", "a"):
        (tmp_path / name / "report").mkdir(parents=True)
        (tmp_path / name / "report" / "result.json").write_text(json.dumps(make_result(profile=name).to_json()))
    (tmp_path / "drift.json").write_text(json.dumps({"schema": 1, "changes": [{}, {}]}))
    words = [str(tmp_path), "--drift", str(tmp_path / "drift.json")]
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    validate("summary", document)
    assert [(one["profile"], one["drift"]) for one in document["results"]] == [("a", 2), ("b", 2)]
    assert re.search(r"⚠️ .* 2 changes", CliRunner().invoke(app, words).stdout)
    assert CliRunner().invoke(app, [*words, "--check"]).exit_code == 0
    (tmp_path / "b" / "report" / "result.json").write_text(
        json.dumps(make_result(result="failed", exit_code=6).to_json())
    )
    assert CliRunner().invoke(app, [*words, "--check"]).exit_code == 6


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"changes": 3}', "\x00"])
def test_rubbish_is_named(make_result: Make, tmp_path: Path, content: str) -> None:
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_text(content)
    good.write_text(json.dumps(make_result().to_json()))
    for words in ([str(bad)], [str(tmp_path / "none")], [str(good), "--drift", str(bad)]):
        raised = CliRunner().invoke(app, words).exception
        assert isinstance(raised, UsageError)
        assert raised.remedy
