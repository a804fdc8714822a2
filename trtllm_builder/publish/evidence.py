"""What was found out about a wheel before, and is told beside it: its record, and a report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtllm_builder import canary
from trtllm_builder.errors import PublishError
from trtllm_builder.source.model import ORIGINAL
from trtllm_builder.text import clean

RECORD = ".record.json"
SCHEMA = 1  # of schemas/record.json and schemas/report.json
_LIMIT = 64 << 20  # bytes
_DIGEST = re.compile(r"[0-9a-f]{64}")
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """``record``: how a build of ours made these very bytes (schemas/record.json); ``report``: what verification found
    in them (schemas/report.json), the record's own or ``WHEEL.report.json``. None where there is none."""

    record: Document | None
    report: Document | None

    @property
    def import_status(self) -> str:
        """Of the report's check ``import``: passed, failed or skipped; skipped without a report."""
        checks = self.report["checks"] if self.report else []
        return str(next((check["status"] for check in checks if check["id"] == "import"), "skipped"))


def read_evidence(wheel: Path, sha256: str) -> Evidence:
    """Raises PublishError for a record or report that is damaged, or of other bytes than ``sha256``."""
    record = _read(wheel, RECORD)
    report = _read(wheel, ".report.json")
    try:
        if record is not None:
            _same_bytes(wheel, RECORD, record["wheel"]["sha256"], sha256)
            report = record["report"]
            if not _DIGEST.fullmatch(str((record.get("lock") or {"sha256": "0" * 64})["sha256"])):
                raise TypeError("its lock has no sha256")
        if report is not None:
            name = ".report.json" if record is None else RECORD
            _same_bytes(wheel, name, report["sha256"], sha256)
            _ = [(check["id"], check["status"]) for check in report["checks"]], bool(report["passed"])
    except (KeyError, TypeError, AttributeError) as error:
        raise PublishError(
            f"what lies beside {wheel} as its record or report is JSON of another kind: {error!r}",
            remedy="fetch it again from where the wheel was built",
        ) from error
    return Evidence(record, report)


def _read(wheel: Path, suffix: str) -> Document | None:
    path = wheel.with_name(wheel.name + suffix)
    if not path.exists():
        return None
    remedy = "fetch it again from where the wheel was built"
    try:
        if not path.is_file() or path.stat().st_size > _LIMIT:
            raise PublishError(f"{path} is no file, or too large for what it should be", remedy=remedy)
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PublishError(f"{path} cannot be read: {error}", remedy=remedy) from error
    if not isinstance(document, dict):
        raise PublishError(f"{path} is JSON of another kind", remedy=remedy)
    schema = document.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise PublishError(
            f'{path} has "schema": {clean(json.dumps(schema))[:20]}, and this program reads {SCHEMA}',
            remedy="publish with the trtllm-builder that made it",
        )
    return document


def _same_bytes(wheel: Path, suffix: str, found: object, sha256: str) -> None:
    if found != sha256:
        raise PublishError(
            f"{wheel.name}{suffix} beside the wheel is of other bytes: sha256 {str(found)[:64]}, "
            f"the wheel has {sha256}",
            remedy="one of the two was replaced; fetch both again from where they were built",
        )


def objections(record: Document) -> list[tuple[str, str]]:
    """Why a build must not be published, whatever its wheel is like, each with what to do. Raises KeyError and
    TypeError for what is no record."""
    found = []
    source, locked = record["source"], bool((record.get("lock") or {}).get("locked"))
    if source["state"] != "clean":
        changed = ", ".join([*source["edited"], *source["uncommitted"]][:3])
        found.append(
            (
                f"it was built from a source that was changed by hand ({changed or 'see its record'}), so nobody can "
                "build it again",
                "commit the change, or make a patch set of it, and build again",
            )
        )
    trusted = [one for one in _unpinned(source) if not locked]
    if trusted:
        found.append(
            (
                f"a mirror alone decided which commit was built: {'; '.join(trusted)}",
                "compare the commit with the original's, pin it (source.commit, or build --locked), and build again",
            )
        )
    cache = record["measured"].get("cache") or {}
    if cache.get("remote") and not cache.get("trusted"):
        found.append(
            (
                f"it was built reading a compile cache that others may write to: {', '.join(cache['remote'])}",
                "build again without it, or say in the profile that it is trusted",
            )
        )
    return found


def _unpinned(source: Document) -> list[str]:
    """Refs that somebody other than the original server turned into a commit. A directory is the user's own."""
    found = []
    if not source["pinned"] and source["served_by"] not in (ORIGINAL, "directory"):
        found.append(f"{source['ref']} is {source['commit'][:12]} as {source['served_by']} says")
    for one in source["dependencies"]:
        # From the cache: as it was when the tag was last seen, or as a bundle's maker saw it. The canary's are ours.
        ours = one["url"].startswith(canary.BASE)
        if one["ref"] and one["served_by"] not in (ORIGINAL, "cache") and not ours:
            found.append(f"{one['name']} {one['ref']} is {one['commit'][:12]} as {one['served_by']} says")
    return found
