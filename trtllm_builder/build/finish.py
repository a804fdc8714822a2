"""The stages after compilation: normalise and verify."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import parse_wheel_filename

from trtllm_builder.build.contained import contained
from trtllm_builder.build.inputs import gather
from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run, file_lost
from trtllm_builder.errors import VerifyError
from trtllm_builder.plan.model import jsonable
from trtllm_builder.repro.codec import CODEC
from trtllm_builder.repro.libraries import read_libraries
from trtllm_builder.repro.sbom import FILE, Contained, bill_of_materials
from trtllm_builder.repro.wheel_writer import normalise
from trtllm_builder.units import format_size
from trtllm_builder.verify.aside import keep_aside
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.auditwheel import find_auditwheel
from trtllm_builder.verify.compiled import Compiled
from trtllm_builder.verify.environment import installer_environment
from trtllm_builder.verify.expect import from_plan
from trtllm_builder.verify.report import Report
from trtllm_builder.verify.smoke import smoke
from trtllm_builder.verify.verdict import make_report


def normalise_inputs(run: Run) -> dict[str, object]:
    return {
        "upstream's wheel": run.results["compile"]["sha256"],
        "the commit's time": run.results["fetch"]["epoch"],
        "what it is composed of": _bill(run).decode(),
        "the codec": CODEC.to_json(),
        "the build tag": run.build_tag,
    }


def normalise_lost(run: Run, result: Json) -> str:
    return file_lost(Path(result["wheel"]), result["sha256"])


def do_normalise(run: Run) -> Json:
    for stale in run.workspace.normalised.glob("*"):
        stale.unlink()
    built = Path(run.results["compile"]["wheel"])
    patchelf = Path(run.results["tools"]["paths"]["patchelf"])
    with tempfile.TemporaryDirectory(prefix="normalise-", dir=run.workspace.temporary) as scratch:
        libraries, changed = read_libraries(built, patchelf, Path(scratch), run.environment)
        wheel = normalise(
            built,
            run.workspace.normalised,
            epoch=run.results["fetch"]["epoch"] or 0,
            changed=changed,
            added={FILE: _bill(run, contained(run, libraries))},
            build_tag=run.build_tag,
        )
    return {"wheel": str(wheel.path), "sha256": wheel.sha256, "size": wheel.size, "codec": wheel.codec.to_json()}


def _bill(run: Run, libraries: Sequence[Contained] = ()) -> bytes:
    name, version, _, _ = parse_wheel_filename(Path(run.results["compile"]["wheel"]).name)
    return bill_of_materials(name, str(version), gather(run), libraries)


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
        beside=False,
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
    cache = run.results["compile"]["cache"]
    compiled = Compiled(**{**cache, "remote": tuple(cache["remote"])})
    report = replace(make_report(seen, tried, expectation), compiled=compiled)
    if not report.passed:
        kept = _keep_aside(run, wheel, report)
        raise VerifyError(
            f"the wheel is not what was asked for: {'; '.join(report.faults)}",
            remedy=f"it is kept as {kept}; the report beside it says what to do",
        )
    for check in report.failed:
        run.observer.note(f"{check.id}: {check.fault}")
    _write(report_page(wheel), report.html())
    return {"report": report.to_json(), "lines": report.lines()}


def report_page(wheel: Path) -> Path:
    """The report for a browser, beside the wheel."""
    return wheel.with_name(f"{wheel.name}.report.html")


def _keep_aside(run: Run, wheel: Path, report: Report) -> Path:
    out = Path(run.plan.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = keep_aside(wheel, out)
    _write(kept.with_name(f"{kept.name}.report.json"), json.dumps(report.to_json(), indent=2) + "\n")
    _write(kept.with_name(f"{kept.name}.report.txt"), "\n".join(report.lines(verbose=True)) + "\n")
    _write(report_page(kept), report.html())
    return kept


def verify_told(result: Json) -> str:
    imports = result["report"]["imports"] or {}
    answer = f", answered {imports['answer']!r}" if imports.get("answer") is not None else ", no answer was asked for"
    return f"{result['report']['verdict']}: imported in {imports.get('import_seconds')} s{answer}"


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
