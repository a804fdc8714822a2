"""``trtllm-build explain``: any log, standard input, JSON after its schema, and sentences for what is no log."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.cli.app import main

FAILURES = Path(__file__).parents[1] / "build" / "failures"
Explain = Callable[..., tuple[int, str, str]]


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Explain:
    def call(*words: str, input: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trtllm-build", "explain", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(input))))  # type: ignore[arg-type]
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_text_and_json_say_the_same(explain: Explain, validate: Callable[[str, object], None]) -> None:
    log = FAILURES / "ld-cuda.log"
    status, shown, _ = explain(str(log))
    assert status == 0
    assert shown.startswith("The linker does not find -lcuda") and "\n  line 1: /usr/bin/ld: cannot find" in shown
    assert "\nalso: The linker does not find -lnvidia-ml" in shown
    document = json.loads(explain("-", "--json", input=gzip.compress(log.read_bytes()))[1])
    validate("explain", document)
    assert document["log"] == "-" and document["diagnosis"]["sentence"] in shown
    assert [other["cause"] for other in document["diagnosis"]["others"]] == ["library-missing"]


@pytest.mark.parametrize("name", ["written-strange.log", "written-success.log"])
def test_an_unknown_cause_is_an_answer(explain: Explain, validate: Callable[[str, object], None], name: str) -> None:
    status, shown, _ = explain(str(FAILURES / name), "--json")
    validate("explain", json.loads(shown))
    assert status == 0 and json.loads(shown)["diagnosis"]["known"] is False


@pytest.mark.parametrize("words", [["no-such.log"], ["."], ["/proc/self/mem"], []])
def test_what_cannot_be_read_ends_in_a_sentence(explain: Explain, words: list[str]) -> None:
    status, shown, told = explain(*words)
    assert status == 2 and shown == "" and told.startswith("error: ") and "Traceback" not in told


def test_zstd_is_named_and_a_cut_archive_is_read_as_far_as_it_goes(explain: Explain) -> None:
    assert "zstd -dc" in explain("-", input=b"\x28\xb5\x2f\xfd rest")[2]
    packed = gzip.compress(b"Killed\n" + os.urandom(50_000).hex().encode())
    assert "read to line" in explain("-", input=packed[:30_000])[1]


def test_rubbish_and_nothing_are_read(explain: Explain) -> None:
    assert explain("-")[1].startswith("The log is empty.\n")
    assert "it ends so" in explain("-", input=b"[1/2] Building\n[2/2] Link")[1]
    status, shown, _ = explain("-", input=os.urandom(100_000))
    assert status == 0 and shown.startswith("This is not a text log") and len(shown.splitlines()) == 2


def test_as_a_person_calls_it() -> None:
    argv = [sys.executable, "-m", "trtllm_builder", "explain", "-"]
    done = subprocess.run(argv, input="Killed\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "signal 9, probably" in done.stdout
