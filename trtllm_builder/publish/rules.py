"""Whether a wheel may be published: audited again, held to what is known of how it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from trtllm_builder.binary.wheel import Wheel as Archive
from trtllm_builder.binary.wheel import WheelError, unpack_member
from trtllm_builder.errors import PublishError, VerifyError
from trtllm_builder.index.model import Standing, is_safe_name, variant_of
from trtllm_builder.publish.bound import local_places, misfits
from trtllm_builder.publish.evidence import Evidence, objections, read_evidence
from trtllm_builder.repro.attestations import is_attestation_bundle
from trtllm_builder.text import clean
from trtllm_builder.verify.audit import audit, require_file
from trtllm_builder.verify.expect import expectation_for
from trtllm_builder.verify.needs import Needs
from trtllm_builder.verify.report import Report
from trtllm_builder.verify.verdict import make_report

BESIDE = (".record.json", ".report.html", ".lock.json", ".intoto.json", ".intoto.jsonl")
OURS = "tensorrt-llm"  # a stranger's, with a higher version, would be taken for it by every installer
_BESIDE_LIMIT = 64 << 20  # bytes


@dataclass(frozen=True)
class Allowed:
    """What the publisher takes upon himself, and what the index then says."""

    unimported: bool = False
    unverified: bool = False


@dataclass(frozen=True)
class Candidate:
    """A wheel that may be published. ``metadata``: the bytes of its METADATA; ``headers``: what they say.

    ``beside``: suffix to the files that go along; ``provenance``: one of them is a real attestation bundle (PEP 740).
    ``local``: addresses of the machine that built it, which its provenance and bill of materials carry.
    """

    path: Path
    project: str
    version: str
    sha256: str
    size: int
    standing: Standing
    requires_python: str
    summary: str
    metadata: bytes
    needs: Needs
    evidence: Evidence
    beside: Mapping[str, Path]
    provenance: bool
    local: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        return self.path.name


def judge(path: Path, allowed: Allowed, environ: Mapping[str, str] | None = None) -> Candidate:
    """Reads the whole wheel. Raises PublishError with the first reason why it must not be published, UsageError for
    what is no file."""
    require_file(path)
    if not is_safe_name(path.name):
        raise _refused(path, "its name is none that an index can hold", "wheels are named by what builds them")
    expectation = expectation_for(path)
    try:
        found = audit(path, expectation, cross_check=False, environ=os.environ if environ is None else environ)
    except VerifyError as error:
        raise PublishError(error.what, remedy=error.remedy) from error
    wheel = found.wheel
    report = make_report(found, None, expectation)
    _refuse_canary(wheel)
    evidence = read_evidence(path, wheel.sha256)
    _refuse_failed(path, report)
    ours = evidence.record is not None or bool(variant_of(wheel.version)) or wheel.name == OURS
    if ours:
        _refuse_build(path, evidence)
    standing = _standing(path, evidence, ours, allowed)
    beside = _beside(path) if ours else {}
    _refuse_misfits(path, evidence, beside, wheel.sha256)
    provenance = path.with_name(f"{path.name}.provenance")
    attested = provenance.is_file() and is_attestation_bundle(provenance, wheel.sha256)
    return Candidate(
        path=path,
        project=wheel.name,
        version=wheel.version,
        sha256=wheel.sha256,
        size=wheel.size,
        standing=standing,
        requires_python=_requires_python(path, wheel),
        summary=clean(next(iter(wheel.header("Summary")), ""))[:300].strip(),
        metadata=_metadata(path, wheel),
        needs=report.needs,
        evidence=evidence,
        beside=beside | ({".provenance": provenance} if attested else {}),
        provenance=attested,
        local=local_places(beside),
    )


def _refused(path: Path, why: str, remedy: str) -> PublishError:
    return PublishError(f"{path.name} is not published: {why}", remedy=remedy)


def _refuse_canary(wheel: Archive) -> None:
    private = [text for text in wheel.header("Classifier") if text.strip().lower().startswith("private ::")]
    local = Version(wheel.version).local if wheel.version else None
    if private or "canary" in (local or "").split("."):
        why = f"it says so itself ({private[0].strip()})" if private else f"{wheel.version} is a canary"
        raise _refused(wheel.path, why, "a canary shows that a machine can build; build what you mean to publish")


def _refuse_failed(path: Path, report: Report) -> None:
    """``tags`` is only a warning to who verifies a stranger's wheel; an index goes by file names."""
    failed = [check for check in report.failed if check.severity == "error" or check.id == "tags"]
    if failed:
        raise _refused(
            path, f"the audit found: {'; '.join(check.fault for check in failed[:5])}", failed[0].remedy or "see verify"
        )


def _refuse_build(path: Path, evidence: Evidence) -> None:
    if evidence.record is None:
        raise _refused(
            path,
            f"its name or version says that we built it, and {path.name}.record.json, which says how, is not beside it",
            "publish it from where it was built, or fetch its record from there",
        )
    try:
        source = str(evidence.record["plan"]["source"]["url"])
        found = objections(evidence.record)
    except (KeyError, TypeError, AttributeError) as error:
        raise _refused(
            path, f"its record is JSON of another kind: {error!r}", "fetch it again from where it was built"
        ) from error
    if source.startswith("builtin:"):
        raise _refused(path, f"it was built from {source}", "a canary only shows that a machine can build")
    if found:
        raise _refused(path, "; ".join(why for why, _ in found), found[0][1])


def _refuse_misfits(path: Path, evidence: Evidence, beside: Mapping[str, Path], sha256: str) -> None:
    if evidence.record is not None and (found := list(misfits(evidence.record, beside, sha256))):
        raise _refused(
            path,
            f"what lies beside it is not of one build: {'; '.join(found[:3])}",
            "one of the files was changed or replaced; fetch them all again from where it was built",
        )


def _standing(path: Path, evidence: Evidence, ours: bool, allowed: Allowed) -> Standing:
    report = evidence.report
    if report is None and not ours:
        if allowed.unverified:
            return "unverified"
        raise _refused(
            path,
            "nobody imported it and kept the report",
            f"run `trtllm-build verify {path.name} --import --json > {path.name}.report.json` beside it, "
            "or give --allow-unverified for another project's wheel",
        )
    if report is not None and not report["passed"]:
        raise _refused(path, f"its verification failed: {_fault(evidence)}", "see what verify says, and build again")
    if evidence.import_status == "passed":
        return "verified"
    if allowed.unimported:
        return "unimported"
    raise _refused(
        path,
        "it was never imported",
        f"`trtllm-build verify {path.name} --import` tries it; or give --allow-unimported, which the index then shows",
    )


def _fault(evidence: Evidence) -> str:
    checks = evidence.report["checks"] if evidence.report else []
    failed = [check for check in checks if check["status"] == "failed"]
    grave = [check for check in failed if check.get("severity") == "error"] or failed
    faults = "; ".join(str(check.get("fault") or check["id"]) for check in grave[:3])
    return clean(faults) or "its report says so, and names no check that failed"


def _requires_python(path: Path, wheel: Archive) -> str:
    text = next(iter(wheel.header("Requires-Python")), "").strip()
    try:
        return str(text and SpecifierSet(text) and text)
    except InvalidSpecifier as error:
        raise _refused(path, f"its Requires-Python is none: {clean(text)[:100]!r}", "build it again") from error


def _metadata(path: Path, wheel: Archive) -> bytes:
    """Byte for byte (PEP 658)."""
    names = [one.name for one in wheel.members if one.name.endswith(".dist-info/METADATA") and one.name.count("/") == 1]
    stem = names[0].partition("/")[0].removesuffix(".dist-info") if names else ""
    try:
        said, _, version = stem.partition("-")
        if canonicalize_name(said) != wheel.name or Version(version) != Version(wheel.version):
            raise _refused(path, f"what it says of itself is in {clean(stem)}.dist-info", "build it again")
        return b"".join(unpack_member(path, names[0]))
    except InvalidVersion as error:
        raise _refused(path, f"what it says of itself is in {clean(stem)}.dist-info", "build it again") from error
    except (WheelError, OSError) as error:
        raise _refused(path, f"its METADATA cannot be read again: {error}", "see to that disk") from error


def _beside(path: Path) -> dict[str, Path]:
    found = {suffix: path.with_name(path.name + suffix) for suffix in BESIDE}
    return {suffix: one for suffix, one in found.items() if one.is_file() and one.stat().st_size <= _BESIDE_LIMIT}
