"""A diagnosis as the error of a build: what a person and the journal get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trtllm_builder.build.diagnosis.show import build_failure, cause_in
from trtllm_builder.build.evidence import Evidence
from trtllm_builder.errors import BuildError, HostError, error_from_json

EVIDENCE = Evidence(1, 0, "oom_kill in memory.events did not rise")
FAILURES = Path(__file__).parent / "failures"


def test_the_error_has_sentence_lines_remedy_log_and_diagnosis(validate: Callable[[str, object], None]) -> None:
    error = build_failure(FAILURES / "gcc-header.log", 0, EVIDENCE, "ended with exit status 1")
    assert isinstance(error, BuildError)
    assert error.what.startswith("zmq.h is missing") and "\n  line 1: h.cpp:1:10: fatal error" in error.what
    assert "libzmq3-dev" in error.remedy and "what is compiled stays compiled" in error.remedy
    document = error.to_json()
    validate("build-events", {"schema": 1, "event": "error", "error": document})
    again = error_from_json(document)
    assert again.to_json() == document


def test_a_full_disk_is_the_hosts_fault_and_an_unknown_cause_is_not_made_up() -> None:
    assert isinstance(build_failure(FAILURES / "disk-ld.log", 0, EVIDENCE, "ended"), HostError)
    unknown = build_failure(FAILURES / "written-strange.log", 0, EVIDENCE, "ended with exit status 1")
    assert "build_wheel.py ended with exit status 1. Why it stopped is not known" in unknown.what
    assert "\n  line 2: error: the generator went away" in unknown.what


def test_a_log_that_is_gone_or_silent_still_gives_an_error(tmp_path: Path) -> None:
    assert "its log cannot be read" in build_failure(tmp_path / "gone", 0, EVIDENCE, "ended").what
    (tmp_path / "empty").touch()
    killed = build_failure(tmp_path / "empty", 0, replace(EVIDENCE, returncode=-9), "was ended by signal 9")
    assert "signal 9, and not by the kernel" in killed.what


def test_a_programs_output_is_explained_or_not() -> None:
    found = cause_in((FAILURES / "written-ensurepip.log").read_text())
    assert found is not None and "python3-venv" in found.remedy
    assert cause_in("all is well\n") is None
