from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

import trtllm_builder
from trtllm_builder.cli import verify as command
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.checks import Check, evidence
from trtllm_builder.verify.diagnose import Diagnosis
from trtllm_builder.verify.expect import Expectation, required_groups
from trtllm_builder.verify.matrix import Cell, Matrix, Row
from trtllm_builder.verify.report import Report
from trtllm_builder.verify.report_text import _matrix
from trtllm_builder.verify.smoke import Answer, Smoke
from trtllm_builder.verify.verdict import make_report

SCHEMA = json.loads((Path(trtllm_builder.__file__).parent / "schemas" / "report.json").read_text())
LIB = "tensorrt_llm/libs/libtensorrt_llm.so"
EXPECTED = Expectation(required=required_groups(["89"]), single_device=True, strict=True)
ASKED = Answer("m", "abc", "cba")
FINE = Smoke(
    modules=("tensorrt_llm",),
    outcome="ok",
    phase="exit",
    asked=ASKED,
    python="3.10.13",
    installer="pip",
    install_seconds=1.0,
    import_seconds=2.0,
    version="1.2.0+sd.cu130.sm89",
    multi_device=0,
    answer="cba",
    answer_seconds=0.1,
)
HUNG = Smoke(
    modules=("tensorrt_llm",), outcome="hang", phase="import", asked=ASKED, installer="uv",
    diagnosis=Diagnosis("mpi-hang-import", "It hangs.", "Build."), stack="process 1:\n  File a", output="x\ny",
)  # fmt: skip

WHY = {"diagnosis": Diagnosis("x", "No.", "Do.")}


@pytest.fixture
def report(make_wheel: Callable[..., Path], make_library: Callable[..., bytes]) -> Callable[..., Report]:
    def make(tried: Smoke | None, **why: str) -> Report:
        wheel = make_wheel({LIB: make_library("many.fatbin")})
        return make_report(audit(wheel, EXPECTED, cross_check=False), tried, EXPECTED, **why)

    return make


def check(report: Report, id: str) -> Check:
    return next(check for check in report.checks if check.id == id)


def test_everything_passed(report: Callable[..., Report]) -> None:
    made = report(FINE)
    assert made.passed and made.failed == ()
    assert {c.id for c in made.skipped if c.severity != "info"} == set()
    assert made.verdict == "passed"
    jsonschema.validate(made.to_json(), SCHEMA)
    text = "\n".join(made.lines())
    assert "PASSED" in text
    assert "libtensorrt_llm.so" in text and "100f" in text


def test_what_was_not_run_did_not_pass(report: Callable[..., Report]) -> None:
    made = report(None, why_no_smoke="no interpreter")
    smoke_ids = {
        "install",
        "import",
        "import-time",
        "runtime-version",
        "single-device",
        "answer",
        "launch",
        "exit",
        "restricted",
    }
    assert smoke_ids <= {c.id for c in made.skipped}
    assert made.verdict == f"passed, {len(smoke_ids - {'launch', 'restricted'})} checks skipped"
    named = ", ".join(c.id for c in made.checks if c.id in smoke_ids and c.severity != "info")
    assert f"SKIPPED {named}: no interpreter" in " ".join(" ".join(made.lines()).split())
    assert all(len(line) <= 80 for line in made.lines())
    assert made.to_json()["imports"] is None
    jsonschema.validate(made.to_json(), SCHEMA)


def test_a_hang_fails_and_what_follows_is_skipped(report: Callable[..., Report]) -> None:
    made = report(HUNG)
    assert not made.passed and made.verdict == "failed"
    assert check(made, "install").status == "passed"
    assert check(made, "import").fatal and str(check(made, "import").evidence[0]) == "mpi-hang-import: It hangs."
    assert {check(made, id).status for id in ("import-time", "runtime-version", "single-device", "answer", "exit")} == {
        "skipped"
    }
    jsonschema.validate(made.to_json(), SCHEMA)
    lines = made.lines()
    assert lines.index("FAILED import: mpi-hang-import: It hangs.") < lines.index(
        next(x for x in lines if x.startswith("SKIPPED"))
    )
    assert "    wanted: can be imported" in lines and "    -> Build." in lines
    assert made.faults == ("import: mpi-hang-import: It hangs.",)


def test_a_fault_is_one_short_clean_line_of_a_failed_check() -> None:
    long = Check("id", "error", "failed", "is so", evidence(("\x1b[31mred\nmore", "rest")))
    assert long.fault == long.to_json()["fault"] == "id: red"
    assert replace(long, evidence=evidence(("x" * 999,))).fault == "id: " + "x" * 300
    assert replace(long, evidence=()).fault == "id: not so: is so"
    assert replace(long, status="passed").fault == ""


@pytest.mark.parametrize(
    ("change", "id", "severity", "seen"),
    [
        ({"import_seconds": 10.5}, "import-time", "warning", "took 10.5 s"),
        ({"version": "1.2.0"}, "runtime-version", "error", "__version__ is 1.2.0, METADATA says 1.2.0+sd.cu130.sm89"),
        ({"multi_device": 1}, "single-device", "error", "it is 1"),
        ({"answer": "abc"}, "answer", "error", "wrong-answer: expected 'cba', got 'abc'"),
        ({"left_behind": 2}, "exit", "warning", "2 processes outlived it and had to be killed"),
        ({"outcome": "not installed", "phase": "install", **WHY}, "install", "error", "x: No."),
        ({"outcome": "hang", "phase": "answer", **WHY}, "answer", "error", "x: No."),
        ({"outcome": "hang", "phase": "exit", **WHY}, "exit", "error", "x: No."),
    ],
)  # fmt: skip
def test_each_smoke_check_can_fail(
    report: Callable[..., Report], change: dict[str, object], id: str, severity: str, seen: str
) -> None:
    made = report(Smoke(**{**FINE.__dict__, **change}))
    assert [(c.id, c.severity) for c in made.failed] == [(id, severity)]
    assert str(check(made, id).evidence[0]) == seen
    assert check(made, id).remedy
    assert made.passed == (severity != "error")
    jsonschema.validate(made.to_json(), SCHEMA)


def test_any_answer_will_do_when_none_is_expected(report: Callable[..., Report]) -> None:
    made = report(Smoke(**{**FINE.__dict__, "asked": Answer("m", "abc"), "answer": "whatever"}))
    assert check(made, "answer").status == "passed"
    assert check(made, "answer").evidence == evidence(("'whatever'",))
    unasked = report(Smoke(**{**FINE.__dict__, "asked": None, "answer": None}))
    assert check(unasked, "answer").status == "skipped"


def test_no_escape_reaches_the_terminal(report: Callable[..., Report]) -> None:
    made = report(Smoke(**{**HUNG.__dict__, "stack": "\x1b[31mred\x07"}))
    assert not any("\x1b" in line or "\x07" in line for line in made.lines(verbose=True))


def test_long_evidence_is_shortened_unless_asked(report: Callable[..., Report]) -> None:
    made = report(Smoke(**{**HUNG.__dict__, "stack": "\n".join(f"line {n}" for n in range(30))}))
    assert not any("line 15" in line for line in made.lines())
    assert any(line.strip().startswith("and ") and "more" in line for line in made.lines())
    assert any("line 15" in line for line in made.lines(verbose=True))
    trace = "\n".join(f"line {n}" for n in range(30))
    failed = report(Smoke(**{**HUNG.__dict__, "outcome": "failed", "stack": trace}))
    assert check(failed, "import").evidence[1:6] == evidence(f"line {n}" for n in range(25, 30))


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command.verify)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout


def test_the_command(make_wheel: Callable[..., Path], make_library: Callable[..., bytes]) -> None:
    wheel = str(make_wheel({LIB: make_library("many.fatbin")}))
    code, out = run(wheel, "--arch", "sm_89")
    assert code == 0 and "PASSED" in out
    code, out = run(wheel, "--arch", "sm_75", "--json")
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    assert code == 7 and document["passed"] is False
    assert [c["id"] for c in document["checks"] if c["status"] == "failed"] == ["gpu-targets"]


def test_the_legend_names_a_column_that_is_there() -> None:
    table = Matrix(("sm_89", "compute_120"), (Row(("a.so",), (Cell("code", 1, 1), Cell("ptx", 1, 1))),))
    assert _matrix(table, 1)[-1] == "  (+ machine code, p PTX (c120: compute_120))"
