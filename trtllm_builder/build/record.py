"""The record stage: the wheel in its place and, beside it, how it came to be: record, provenance, signature, report."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

from trtllm_builder.attest.keys import PrivateKey, read_private_key
from trtllm_builder.build.finish import report_page
from trtllm_builder.build.gate import PEAKS
from trtllm_builder.build.inputs import run_lock
from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run, file_lost
from trtllm_builder.data import data_dir
from trtllm_builder.gate.learned import Learned
from trtllm_builder.plan.environment import FROM_HOST
from trtllm_builder.plan.make import Material
from trtllm_builder.plan.model import jsonable
from trtllm_builder.plan.peaks import for_gpus, peaks_path, read_peaks
from trtllm_builder.repro.codec import CODEC
from trtllm_builder.repro.lock import lock_path
from trtllm_builder.repro.provenance import BUILDER, Build, Byproduct, provenance_path, statement_text
from trtllm_builder.repro.signing import bundle_path, drop_other_bundle, key_from_variable, sign_wheel, write_whole

RECORD_SCHEMA = 1


def signing_key(material: Material) -> PrivateKey | None:
    """The key that the profile names; asked for at the beginning too, since hours later is too late to miss it.

    Raises UsageError and HostError.
    """
    signing, environ = material.request.loaded.profile.signing, material.request.environ
    if signing.key_variable:
        return key_from_variable(signing.key_variable, environ)
    return read_private_key(Path(signing.key), environ) if signing.key else None


def record_inputs(run: Run) -> dict[str, object]:
    key = signing_key(run.material)
    return {
        "the verification": run.results["verify"],
        "files edited by hand": run.results["compile"]["edited"],
        "the lock": run.results["inputs"]["lock"],
        "--out": run.plan.out,
        "the signing key": key.public.keyid if key else None,
        "signing.builder": run.material.request.loaded.profile.signing.builder,
    }


def record_lost(run: Run, result: Json) -> str:
    beside = (Path(result[name]) for name in ("record", "provenance", "bundle") if result.get(name))
    gone = (f"{path} is gone" for path in beside if not path.is_file())
    return file_lost(Path(result["wheel"]), result["sha256"]) or next(gone, "")


def do_record(run: Run) -> Json:
    """What stands beside the wheel is written first: a wheel never stands without it."""
    source = Path(run.results["normalise"]["wheel"])
    out = Path(run.plan.out)
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / source.name
    record = out / f"{source.name}.record.json"
    recorded = (json.dumps(jsonable(_facts(run, source.name)), indent=2, sort_keys=True) + "\n").encode()
    byproducts = [
        Byproduct(record.name, hashlib.sha256(recorded).hexdigest(), "application/json"),
        Byproduct("compile.log", run.results["compile"]["log_sha256"], "text/plain"),
    ]
    write_whole(record, recorded)
    write_whole(lock_path(wheel), run_lock(run).render().encode())
    if report_page(source).is_file():
        page = report_page(source).read_bytes()
        write_whole(report_page(wheel), page)
        byproducts.append(Byproduct(report_page(wheel).name, hashlib.sha256(page).hexdigest(), "text/html"))
    said = statement_text(_build(run, source.name, byproducts)).encode()
    write_whole(provenance_path(wheel), said)
    key = signing_key(run.material)
    drop_other_bundle(wheel, said)
    partial = wheel.with_name(f".{wheel.name}.partial")
    try:
        shutil.copyfile(source, partial)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        if key is not None:
            sign_wheel(wheel, key, sha256=run.results["normalise"]["sha256"])
        partial.replace(wheel)
    finally:
        partial.unlink(missing_ok=True)
    return {
        "wheel": str(wheel),
        "sha256": run.results["normalise"]["sha256"],
        "record": str(record),
        "provenance": str(provenance_path(wheel)),
        "bundle": str(bundle_path(wheel)) if key else "",
    }


def record_told(result: Json) -> str:
    return f"{result['wheel']}{', signed' if result['bundle'] else ''}"


def _facts(run: Run, wheel: str) -> dict[str, Any]:
    compiled, fetched, normalised = run.results["compile"], run.results["fetch"], run.results["normalise"]
    edited = compiled["edited"]
    return {
        "schema": RECORD_SCHEMA,
        "lock": run.results["inputs"]["lock"],
        "wheel": {"name": wheel, **{k: normalised[k] for k in ("sha256", "size", "codec")}},
        "run": run.identifier,
        "plan": run.plan.to_json(),
        "source": {**fetched, "state": "dirty" if edited or fetched["uncommitted"] else "clean", "edited": edited},
        "patches": run.results["patch"],
        "tools": run.results["tools"],
        "host": {"platform": platform.platform(), **run.material.survey.host.to_json()},
        "measured": {
            **{key: compiled[key] for key in ("seconds", "peak_memory", "peak_disk", "cache", "timeline", "gate")},
            "peaks": _peaks(run).to_json(),
        },
        "log": {"path": compiled["log"], "sha256": compiled["log_sha256"]},
        "report": run.results["verify"]["report"],
    }  # fmt: skip


def _peaks(run: Run) -> Learned:
    """What is known of compilers: where the cache had all, this build measured nothing."""
    known, _ = read_peaks(peaks_path(run.plan.profile, run.material.request.environ))
    of_these = for_gpus(known, run.material.request.loaded.profile.cuda.architectures)
    return of_these.then(read_peaks(run.log_directory / PEAKS)[0])


def _build(run: Run, wheel: str, byproducts: list[Byproduct]) -> Build:
    """What the provenance says; its fields are explained in repro/wheel-build-v1.md."""
    plan, request, compiled = run.plan, run.material.request, run.results["compile"]
    lock, signing = run_lock(run), request.loaded.profile.signing
    begun = [one["time"] for one in run.journal.events() if one["event"] == "run" and one.get("id") == run.identifier]
    return Build(
        wheel=wheel,
        sha256=run.results["normalise"]["sha256"],
        asked={
            "profile": lock.name,
            "values": lock.profile,
            "source": {"url": plan.source.url, "ref": plan.source.ref, "commit": plan.source.commit,
                       "directory": plan.source.directory is not None},
        },
        decided={
            "command": list(plan.argv),
            "options": {one.name: one.value for one in plan.options},
            "environment": {one.name: one.value for one in plan.environment if one.origin != FROM_HOST},
            "jobs": plan.jobs.count,
            "lock": run.results["inputs"]["lock"],
            "codec": CODEC.to_json(),
            "cache": compiled["cache"] if plan.ccache else None,
            "edited": compiled["edited"],
        },
        inputs=lock.inputs,
        invocation=run.identifier,
        started=begun[0] if begun else time.time(),
        finished=time.time(),
        byproducts=byproducts,
        places={
            str(run.workspace.root): "$WORKSPACE",
            str(data_dir(request.environ)): "$TOOLS",
            plan.caches: "$CACHE",
            request.environ.get("HOME", "") or "~": "$HOME",
        },
        builder=signing.builder or BUILDER,
    )  # fmt: skip
