"""The checks of the smoke test, and the one report that everything goes into."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from trtllm_builder.errors import VerifyError
from trtllm_builder.units import format_duration
from trtllm_builder.verify.audit import Audit
from trtllm_builder.verify.checks import Check, Severity, evidence, judged, skipped
from trtllm_builder.verify.diagnose import raised
from trtllm_builder.verify.environment import installer_environment
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.needs import needs_of
from trtllm_builder.verify.report import Report
from trtllm_builder.verify.smoke import Smoke, smoke

_UNMET = "What --import asked for was not done. Give a Python that runs with --python, or leave --import out."
SLOW_IMPORT = 10.0  # seconds
_TITLES: Mapping[str, str] = {
    "install": "installs in a fresh environment",
    "import": "can be imported",
    "import-time": f"is imported within {SLOW_IMPORT:g} s",
    "runtime-version": "__version__ is the version in METADATA",
    "single-device": "BuildInfo.ENABLE_MULTI_DEVICE is 0",
    "answer": "one worker gives one answer",
    "launch": "a kernel of it runs on this machine's GPU",
    "exit": "the process ends by itself",
    "restricted": "tried as in a rented container: 64 MB of /dev/shm, no /run/pmix, no network, no privileges",
}
_PHASES = ("install", "import", "answer", "launch", "exit")


def make_report(
    found: Audit,
    tried: Smoke | None,
    expectation: Expectation,
    *,
    why_no_smoke: str = "",
    smoke_asked: bool = False,
) -> Report:
    """The audit's checks and the smoke test's; without a smoke test these are skipped for the reason given.

    ``smoke_asked``: it was asked for by name, so that not having been run is a failure to import.
    """
    version = next(iter(found.wheel.header("Version")), "")
    smoked = smoke_checks(tried, expectation, version, why_no_smoke)
    if tried is None and smoke_asked:
        unmet = Check("import", "error", "failed", _TITLES["import"], evidence((f"not tried: {why_no_smoke}",)), _UNMET)
        smoked = tuple(unmet if check.id == "import" else check for check in smoked)
    return Report(
        wheel=found.wheel.path.name,
        sha256=found.wheel.sha256,
        size=found.wheel.size,
        held_to=expectation.origin + (f"; {expectation.reason}" if expectation.reason else ""),
        needs=needs_of(found),
        members=found.wheel.members,
        libraries=found.libraries,
        imports=tried,
        checks=(*found.checks, *smoked),
    )


def try_wheel(found: Audit, interpreter: Path, environ: Mapping[str, str], expectation: Expectation) -> Smoke:
    """Imports what the wheel puts at the top level. Raises VerifyError when that is nothing."""
    ours = found.wheel.name == "tensorrt-llm"
    modules = ("tensorrt_llm",) if ours else found.wheel.top_level
    if not modules:
        raise VerifyError(f"{found.wheel.path.name} holds nothing that can be imported", remedy="Use --no-import.")
    with tempfile.TemporaryDirectory(prefix="trtllm-verify-") as name:
        return smoke(
            found.wheel.path,
            interpreter,
            directory=Path(name),
            deadline=expectation.import_deadline,
            answer=expectation.answer if ours else None,
            modules=modules,
            build_info=ours,
            environ=installer_environment(environ),
            host=environ,
        )


def smoke_checks(tried: Smoke | None, expectation: Expectation, version: str, why: str = "") -> tuple[Check, ...]:
    """install, import, import-time, runtime-version, single-device, answer, launch, exit, restricted. ``version`` is
    METADATA's."""
    if tried is None:
        return tuple(_skip(id, why or "no smoke test was run") for id in _TITLES)
    return (
        _phase("install", tried),
        _phase("import", tried),
        _import_time(tried),
        _runtime_version(tried, version),
        _single_device(tried, expectation),
        _answer(tried),
        _launch(tried),
        _phase("exit", tried),
        _restricted(tried),
    )


def _skip(id: str, why: str) -> Check:
    severities: dict[str, Severity] = {"import-time": "warning", "launch": "info", "restricted": "info"}
    return skipped(id, _TITLES[id], why, severity=severities.get(id, "error"))


def _phase(id: str, tried: Smoke) -> Check:
    title = _TITLES[id]
    if tried.phase == id and tried.outcome != "ok" and tried.diagnosis:
        found = tried.diagnosis
        return Check(
            id, "error", "failed", title, evidence((f"{found.id}: {found.what}", *_evidence(tried))), found.remedy
        )
    if _PHASES.index(tried.phase) < _PHASES.index(id):
        return _skip(id, f"it did not get beyond {tried.phase}")
    if id == "exit" and tried.left_behind:
        left = f"{tried.left_behind} process{'es' * (tried.left_behind > 1)} outlived it and had to be killed"
        return Check(
            id, "warning", "failed", title, evidence((left,)), "Its workers do not notice that their parent is gone."
        )
    seen = {
        "install": f"{tried.installer}, {format_duration(tried.install_seconds)}",
        "import": f"{', '.join(tried.modules)} with Python {tried.python}",
    }
    return judged(id, title, [], seen=seen.get(id, ""))


def _evidence(tried: Smoke) -> tuple[str, ...]:
    stack = [line for line in tried.stack.splitlines() if line.strip()]
    # A dump begins with the innermost call, a traceback ends with it. All of it is in the report's imports.
    if tried.outcome == "failed" and not (stack and stack[0].startswith("Fatal Python error")):
        at = raised(stack)
        stack = stack[max(0, at - 4) : at + 4]
    else:
        stack = stack[:20]
    return (*stack, *(f"output: {line}" for line in tried.output.splitlines()[-10:]))


def _import_time(tried: Smoke) -> Check:
    if tried.import_seconds is None:
        return _skip("import-time", "it was not imported")
    took = format_duration(tried.import_seconds)
    return judged(
        "import-time",
        _TITLES["import-time"],
        [f"took {took}"] if tried.import_seconds > SLOW_IMPORT else [],
        severity="warning",
        seen=took,
        remedy="On a slow or network disk this is expected; elsewhere look for what it initialises.",
    )


def _runtime_version(tried: Smoke, version: str) -> Check:
    if tried.import_seconds is None:
        return _skip("runtime-version", "it was not imported")
    if tried.version is None:
        return _skip("runtime-version", f"{tried.modules[0]} has no __version__")
    try:
        same = Version(tried.version) == Version(version)
    except InvalidVersion:
        same = tried.version == version
    return judged(
        "runtime-version",
        _TITLES["runtime-version"],
        [] if same else [f"__version__ is {tried.version}, METADATA says {version}"],
        seen=version,
        remedy="The version label is to be set in version.py before the build, so that both come from there.",
    )


def _single_device(tried: Smoke, expectation: Expectation) -> Check:
    if not expectation.single_device:
        return _skip("single-device", "a single-device wheel was not asked for")
    if tried.multi_device is None:
        return _skip("single-device", f"BuildInfo was not read: it did not get beyond {tried.phase}")
    return judged(
        "single-device",
        _TITLES["single-device"],
        [f"it is {tried.multi_device}"] if tried.multi_device else [],
        seen="0",
        remedy="The option did not take: read ENABLE_MULTI_DEVICE in the build directory's CMakeCache.txt.",
    )


def _answer(tried: Smoke) -> Check:
    if tried.asked is None:
        return _skip("answer", "no model to ask was given (verify.answer in the profile)")
    check = _phase("answer", tried)
    if check.status != "passed" or tried.answer is None or tried.asked.expect is None:
        told = evidence((repr(tried.answer),)) if check.status == "passed" else check.evidence
        return Check(check.id, check.severity, check.status, check.title, told, check.remedy)
    wrong = [] if tried.answer == tried.asked.expect else [f"expected {tried.asked.expect!r}, got {tried.answer!r}"]
    return judged(
        "answer",
        _TITLES["answer"],
        [f"wrong-answer: {text}" for text in wrong],
        seen=repr(tried.answer),
        remedy="It runs but computes something else: compare its flags and GPU code with those of a wheel that works.",
    )


def _launch(tried: Smoke) -> Check:
    if tried.phase == "launch" and tried.outcome != "ok":
        return _phase("launch", tried)
    gpu = tried.gpu
    if gpu is None or gpu.launched is None:
        return _skip("launch", gpu.why if gpu and gpu.why else f"it did not get beyond {tried.phase}")
    told = f"{gpu.launched} on {', '.join(gpu.devices)}, in {format_duration(gpu.launch_seconds or 0)}"
    return judged("launch", _TITLES["launch"], [], seen=told)


def _restricted(tried: Smoke) -> Check:
    if tried.world is None:
        return _skip("restricted", f"it did not get beyond {tried.phase}")
    held = ", ".join(one.seen for one in tried.world.restrictions if one.held)
    if tried.world.restricted:
        return judged("restricted", _TITLES["restricted"], [], severity="info", seen=held)
    loose = "; ".join(str(one) for one in tried.world.restrictions if not one.held)
    return _skip("restricted", f"this host did not allow all of it: {loose}; what held: {held or 'nothing'}")
