"""Check of the lock beside a wheel: that it is the one which record and provenance name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trtllm_builder.attest.statement import LIMIT, Statement, StatementError, read_json
from trtllm_builder.verify.checks import Check, judged, skipped
from trtllm_builder.verify.checks.provenance import said_of
from trtllm_builder.verify.expect import record_path

_TITLE = "the lock beside it is the one it was built from"


def lock_check(wheel: Path, sha256: str) -> Check:
    """lock: ``WHEEL.lock.json``, where there is one, by its digest (repro/lock.py says of what that is)."""
    path = wheel.with_name(f"{wheel.name}.lock.json")
    if not path.is_file():
        return skipped("lock", _TITLE, f"there is no {path.name} beside it", severity="info")
    try:
        with path.open("rb") as stream:
            document = read_json(stream.read(LIMIT + 1))
    except (OSError, StatementError) as error:
        return _judged([f"{path.name} cannot be read: {error}"])
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    named = list(_named(wheel, sha256))
    if not named:
        return skipped("lock", _TITLE, f"neither record nor provenance says what {path.name} should be")
    others = [f"{path.name} has the digest {digest}, and {where} names {one}" for where, one in named if one != digest]
    return _judged(others, seen=f"{path.name}: {digest}, as {', '.join(where for where, _ in named)} says")


def _judged(problems: list[str], seen: str = "") -> Check:
    remedy = "It was changed, or is of another wheel: do not build from it, and fetch it again from where it came."
    return judged("lock", _TITLE, problems, seen=seen, remedy=remedy)


def _named(wheel: Path, sha256: str) -> Iterator[tuple[str, str]]:
    """Which file says what of the lock of this very wheel."""
    with suppress(OSError, StatementError, KeyError, TypeError):
        with record_path(wheel).open("rb") as stream:
            record = read_json(stream.read(LIMIT + 1))
        if record["wheel"]["sha256"] == sha256:
            yield record_path(wheel).name, str(record["lock"]["sha256"])
    for path, said in said_of(wheel, sha256):
        with suppress(KeyError, TypeError):
            yield path.name, _of_statement(said)


def _of_statement(said: Statement) -> str:
    """Raises KeyError and TypeError."""
    return str(said.predicate["buildDefinition"]["internalParameters"]["lock"]["sha256"])
