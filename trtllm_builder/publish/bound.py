"""Whether what lies beside a wheel of ours is of one build. That it is of this wheel, the audit has seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trtllm_builder.attest.agreement import BUNDLE, LOCK, PLAIN, contradictions
from trtllm_builder.attest.envelope import read_bundle
from trtllm_builder.attest.statement import StatementError, read_statement
from trtllm_builder.text import clean

_LOCAL = re.compile(r"file://[^\"\s]+")


def misfits(record: Mapping[str, Any], beside: Mapping[str, Path], sha256: str) -> Iterator[str]:
    """What is of another build, or was changed. ``beside``: suffix to file; ``sha256``: the wheel's."""
    if LOCK in beside and not record.get("lock"):
        yield f"its record names no lock, and there is {beside[LOCK].name}"
    for suffix in (PLAIN, BUNDLE):
        if suffix in beside:
            try:
                _read_statements(beside[suffix])
            except (OSError, StatementError) as error:
                yield f"{beside[suffix].name} is no statement: {error}"
    yield from contradictions(beside, sha256)


def local_places(beside: Mapping[str, Path]) -> tuple[str, ...]:
    """``file://`` addresses that the provenance names: a source or mirror of one's own, whose path others will read."""
    path = beside.get(PLAIN)
    found = _LOCAL.findall(path.read_text(encoding="utf-8", errors="replace")) if path else ()
    return tuple(dict.fromkeys(map(clean, found)))


def _read_statements(path: Path) -> None:
    """Raises OSError and StatementError."""
    data = path.read_bytes()
    for payload in [one.payload for one in read_bundle(data)] if path.suffix == ".jsonl" else [data]:
        read_statement(payload)
