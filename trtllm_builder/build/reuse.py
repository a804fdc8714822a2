"""A wheel that was built before from the same lock: found, verified again, and taken instead of compiling.

Our own store (kept.py) is asked first, then the index (index/published.py).
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from trtllm_builder.attest.keys import PrivateKey
from trtllm_builder.build.journal import Json
from trtllm_builder.build.kept import (
    BESIDE,
    RECORD,
    UNSOUND,
    WHEELS,
    Found,
    directory_name,
    keep_wheel,
    read_kept,
    tag_of,
)
from trtllm_builder.build.record import signing_key
from trtllm_builder.build.run import Run
from trtllm_builder.errors import BuilderError
from trtllm_builder.index.published import find_by_lock, is_url
from trtllm_builder.repro.provenance import provenance_path
from trtllm_builder.repro.signing import bundle_path, drop_other_bundle, sign_wheel
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.auditwheel import find_auditwheel
from trtllm_builder.verify.environment import installer_environment
from trtllm_builder.verify.expect import from_plan
from trtllm_builder.verify.smoke import smoke
from trtllm_builder.verify.verdict import make_report

_WITHIN = 60.0  # seconds without an answer


def is_wanted(run: Run) -> bool:
    """Not when it was asked to build anew, not where the workspace has compiled already, and not for sources that were
    edited: a lock does not know of that."""
    if run.edits or run.results.get("fetch", {}).get("uncommitted"):
        return False
    forced = False
    for event in run.journal.events():
        forced = event["event"] == "rebuild" or (forced and event["event"] != "done")
    compiled = run.journal.stamps().get("compile")
    return not forced and (run.redo or compiled is None or not compiled.inputs)


def look(run: Run, digest: str) -> Found | None:
    """The wheel of that lock in our own store, else in the index. What is there and not sound is a note."""
    place = Path(run.plan.caches) / WHEELS / directory_name(digest, run.build_tag)
    for origin in (str(place), run.material.request.index):
        try:
            directory = _from_index(run, digest) if origin != str(place) else place if place.is_dir() else None
            if origin is not None and directory is not None:
                found = read_kept(directory, digest, origin)
                # One with a build tag is not what a build without a lock makes, nor the other way round.
                if tag_of(found.wheel) == run.build_tag:
                    return found
        except (BuilderError, *UNSOUND, HTTPException) as error:
            told = error.what if isinstance(error, BuilderError) else str(error) or type(error).__name__
            run.observer.note(f"the wheel of this lock in {origin} is not reused: {told}")
    return None


def _from_index(run: Run, digest: str) -> Path | None:
    """A directory with the wheel and what stands beside it there. Raises PublishError, OSError and ValueError."""
    index = run.material.request.index
    if index and not is_url(index) and not Path(index).is_dir():
        raise ValueError("there is no such directory")
    published = find_by_lock(index, digest) if index else None
    if published is None:
        return None
    directory = run.workspace.reused
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    wheel = directory / published.name
    _obtain(published.location, wheel)
    if sha256_of(wheel) != published.sha256:
        raise ValueError("it has not the sha256 that the index says")
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            _obtain(f"{published.location}{suffix}", wheel.with_name(f"{wheel.name}{suffix}"))
    return directory


def _obtain(location: str, target: Path) -> None:
    """Raises FileNotFoundError when it is not there."""
    if not is_url(location):
        shutil.copyfile(location, target)
        return
    try:
        with urlopen(location, timeout=_WITHIN) as reply, target.open("wb") as file:  # noqa: S310 - http and https only
            shutil.copyfileobj(reply, file, 1 << 20)
    except HTTPError as error:
        if error.code in (404, 410):
            raise FileNotFoundError(location) from None
        raise


def take(run: Run, found: Found) -> bool:
    """Verify it again as a build verifies its own, sign it when a key is named, and put it where the build's would go
    and where the next build looks; False, with a note, when it does not pass."""
    run.stage = "reuse"
    run.observer.stage("reuse", "begun", found.origin)
    run.journal.append("begin", stage="reuse", run=run.identifier, why="")
    key = signing_key(run.material)
    try:
        unsaid = key is not None and not provenance_path(found.wheel).is_file()
        verified = "it has no provenance, which is what the key signs" if unsaid else _verify(run, found)
    except (BuilderError, *UNSOUND) as error:
        verified = str(error)
    if isinstance(verified, str):
        run.observer.note(f"the wheel of this lock in {found.origin} is not reused: {verified}")
        run.observer.stage("reuse", "done", "nothing to reuse")
        return False
    recorded = _place(found, Path(run.plan.out), key)
    for stage, result in (("verify", verified), ("record", recorded)):
        run.results[stage] = result
        # Without inputs: the next build does them again, should it have to build.
        run.journal.append("end", stage=stage, run=run.identifier, inputs={}, seconds=0.0, result=result)
    run.redo = True
    keep_wheel(run, found.wheel, found.record["lock"]["sha256"])
    told = f"{found.wheel.name}, built by run {found.record.get('run')} from the same lock"
    run.observer.stage("reuse", "done", told)
    run.observer.note(f"nothing was compiled: {told}; --rebuild builds it again")
    return True


def _verify(run: Run, found: Found) -> Json | str:
    """The result of a verify stage, or why the wheel did not pass."""
    shutil.rmtree(run.workspace.smoke, ignore_errors=True)
    run.workspace.temporary.mkdir(parents=True, exist_ok=True)
    expectation = from_plan(found.record["plan"], version=found.record["patches"]["version"], origin="its record")
    cuobjdump = run.results["tools"]["paths"].get("cuobjdump")
    seen = audit(
        found.wheel, expectation, cuobjdump=Path(cuobjdump) if cuobjdump else None,
        auditwheel=find_auditwheel(run.environment), scratch=run.workspace.temporary, environ=run.environment,
    )  # fmt: skip
    tried = smoke(
        found.wheel, Path(run.plan.python.value), directory=run.workspace.smoke, deadline=expectation.import_deadline,
        answer=expectation.answer, environ=installer_environment(run.environment),
        host={**run.material.request.environ, "CUDA_HOME": run.environment.get("CUDA_HOME", "")},
        targets=expectation.allowed,
    )  # fmt: skip
    report = make_report(seen, tried, expectation)
    if not report.passed:
        return "; ".join(report.faults)
    return {"report": report.to_json(), "lines": report.lines()}


def _place(found: Found, out: Path, key: PrivateKey | None) -> Json:
    """What stands beside a wheel first: it never stands without it. Signatures over the same statement that are there
    already stay; nothing stays that is of another build."""
    out.mkdir(parents=True, exist_ok=True)
    wheel, sha256 = out / found.wheel.name, found.record["wheel"]["sha256"]
    statement, bundle = provenance_path(found.wheel), bundle_path(wheel)
    drop_other_bundle(wheel, statement.read_bytes() if statement.is_file() else b"")
    for suffix in BESIDE:
        target = wheel.with_name(f"{wheel.name}{suffix}")
        if target == bundle and bundle.exists():
            continue
        try:
            _copy(found.wheel.with_name(target.name), target)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
    if key is not None:
        sign_wheel(wheel, key, sha256=sha256)
    _copy(found.wheel, wheel)
    return {
        "wheel": str(wheel),
        "sha256": sha256,
        "record": f"{wheel}{RECORD}",
        "provenance": str(provenance_path(wheel)),
        "bundle": str(bundle) if key else "",
    }


def _copy(source: Path, target: Path) -> None:
    """The whole file or none."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
