"""The stages after compilation: normalise, verify, record."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run, file_lost
from trtllm_builder.errors import VerifyError
from trtllm_builder.plan.model import jsonable
from trtllm_builder.repro.runpath import cleaned_libraries
from trtllm_builder.repro.wheel_writer import normalise
from trtllm_builder.units import format_size
from trtllm_builder.verify.aside import keep_aside
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.auditwheel import find_auditwheel
from trtllm_builder.verify.environment import installer_environment
from trtllm_builder.verify.expect import from_plan
from trtllm_builder.verify.report import Report
from trtllm_builder.verify.smoke import smoke
from trtllm_builder.verify.verdict import make_report

RECORD_SCHEMA = 1


def normalise_inputs(run: Run) -> dict[str, object]:
    return {"upstream's wheel": run.results["compile"]["sha256"], "the commit's time": run.results["fetch"]["epoch"]}


def normalise_lost(run: Run, result: Json) -> str:
    return file_lost(Path(result["wheel"]), result["sha256"])


def do_normalise(run: Run) -> Json:
    for stale in run.workspace.normalised.glob("*"):
        stale.unlink()
    built = Path(run.results["compile"]["wheel"])
    patchelf = Path(run.results["tools"]["paths"]["patchelf"])
    with tempfile.TemporaryDirectory(prefix="normalise-", dir=run.workspace.temporary) as scratch:
        changed = cleaned_libraries(built, patchelf, Path(scratch), run.environment)
        epoch = run.results["fetch"]["epoch"] or 0
        wheel = normalise(built, run.workspace.normalised, epoch=epoch, changed=changed)
    return {"wheel": str(wheel.path), "sha256": wheel.sha256, "size": wheel.size}


def normalise_told(result: Json) -> str:
    return f"{format_size(result['size'])}, sha256 {result['sha256'][:16]}"


def verify_inputs(run: Run) -> dict[str, object]:
    return {
        "the wheel": run.results["normalise"]["sha256"],
        "its version": run.results["patch"]["version"],
        **{f"verify.{name}": value for name, value in jsonable(run.plan.verification).items()},
    }


def verify_lost(run: Run, result: Json) -> str:
    return "" if result["report"]["passed"] else "the wheel did not pass"


def do_verify(run: Run) -> Json:
    """Audit and smoke test; a wheel that fails goes to the output directory under a name nothing installs."""
    # What a killed run left of its environments.
    shutil.rmtree(run.workspace.smoke, ignore_errors=True)
    wheel = Path(run.results["normalise"]["wheel"])
    expectation = from_plan(run.plan.to_json(), version=run.results["patch"]["version"], origin="the plan")
    cuobjdump = run.results["tools"]["paths"].get("cuobjdump")
    seen = audit(
        wheel,
        expectation,
        cuobjdump=Path(cuobjdump) if cuobjdump else None,
        auditwheel=find_auditwheel(run.environment),
        scratch=run.workspace.temporary,
        environ=run.environment,
    )
    tried = smoke(
        wheel,
        Path(run.plan.python.value),
        directory=run.workspace.smoke,
        deadline=expectation.import_deadline,
        answer=expectation.answer,
        environ=installer_environment(run.environment),
        host={**run.material.request.environ, "CUDA_HOME": run.environment.get("CUDA_HOME", "")},
        # Building for another machine's GPU is no fault.
        targets=expectation.allowed,
    )
    report = make_report(seen, tried, expectation)
    if not report.passed:
        kept = _keep_aside(run, wheel, report)
        raise VerifyError(
            f"the wheel is not what was asked for: {'; '.join(report.faults)}",
            remedy=f"it is kept as {kept}; the report beside it says what to do",
        )
    for check in report.failed:
        run.observer.note(f"{check.id}: {check.fault}")
    _write(_page(wheel), report.html())
    return {"report": report.to_json(), "lines": report.lines()}


def _page(wheel: Path) -> Path:
    """The report for a browser, beside the wheel."""
    return wheel.with_name(f"{wheel.name}.report.html")


def _keep_aside(run: Run, wheel: Path, report: Report) -> Path:
    out = Path(run.plan.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = keep_aside(wheel, out)
    _write(kept.with_name(f"{kept.name}.report.json"), json.dumps(report.to_json(), indent=2) + "\n")
    _write(kept.with_name(f"{kept.name}.report.txt"), "\n".join(report.lines(verbose=True)) + "\n")
    _write(_page(kept), report.html())
    return kept


def verify_told(result: Json) -> str:
    imports = result["report"]["imports"] or {}
    answer = f", answered {imports['answer']!r}" if imports.get("answer") is not None else ", no answer was asked for"
    return f"{result['report']['verdict']}: imported in {imports.get('import_seconds')} s{answer}"


def record_inputs(run: Run) -> dict[str, object]:
    edited = run.results["compile"]["edited"]
    return {"the verification": run.results["verify"], "files edited by hand": edited, "--out": run.plan.out}


def record_lost(run: Run, result: Json) -> str:
    record = Path(result["record"])
    return file_lost(Path(result["wheel"]), result["sha256"]) or ("" if record.is_file() else f"{record} is gone")


def do_record(run: Run) -> Json:
    """The wheel and, beside it, how it came to be. The record is written first: a wheel never stands without it."""
    source = Path(run.results["normalise"]["wheel"])
    out = Path(run.plan.out)
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / source.name
    record = out / f"{source.name}.record.json"
    compiled, fetched = run.results["compile"], run.results["fetch"]
    edited = compiled["edited"]
    facts = {
        "schema": RECORD_SCHEMA,
        "wheel": {"name": source.name, **{k: run.results["normalise"][k] for k in ("sha256", "size")}},
        "run": run.identifier,
        "plan": run.plan.to_json(),
        "source": {**fetched, "state": "dirty" if edited or fetched["uncommitted"] else "clean", "edited": edited},
        "patches": run.results["patch"],
        "tools": run.results["tools"],
        "host": {"platform": platform.platform(), **run.material.survey.host.to_json()},
        "measured": {
            key: compiled[key] for key in ("seconds", "peak_memory", "peak_disk", "ccache", "timeline")
        },
        "log": {"path": compiled["log"], "sha256": compiled["log_sha256"]},
        "report": run.results["verify"]["report"],
    }  # fmt: skip
    _write(record, json.dumps(jsonable(facts), indent=2, sort_keys=True) + "\n")
    if _page(source).is_file():
        _write(_page(wheel), _page(source).read_text(encoding="utf-8"))
    partial = wheel.with_name(f".{wheel.name}.partial")
    try:
        shutil.copyfile(source, partial)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(wheel)
    finally:
        partial.unlink(missing_ok=True)
    return {"wheel": str(wheel), "sha256": run.results["normalise"]["sha256"], "record": str(record)}


def record_told(result: Json) -> str:
    return str(result["wheel"])


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
