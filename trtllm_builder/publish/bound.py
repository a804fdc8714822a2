"""Whether what lies beside a wheel of ours is of one build. That it is of this wheel, the audit has seen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trtllm_builder.attest.envelope import read_bundle
from trtllm_builder.attest.statement import Statement, StatementError, read_statement
from trtllm_builder.index.files import sha256_of
from trtllm_builder.text import clean

_LOCK, _STATEMENTS = ".lock.json", (".intoto.json", ".intoto.jsonl")

_LOCAL = re.compile(r"file://[^\"\s]+")


def misfits(record: Mapping[str, Any], beside: Mapping[str, Path]) -> Iterator[str]:
    """What is of another build, or was changed. ``beside``: suffix to file."""
    if _LOCK in beside and not record.get("lock"):
        yield f"its record names no lock, and there is {beside[_LOCK].name}"
    for suffix in _STATEMENTS:
        if suffix in beside:
            try:
                for said in _statements(beside[suffix]):
                    yield from _other(beside[suffix].name, said, beside)
            except (OSError, StatementError) as error:
                yield f"{beside[suffix].name} is no statement: {error}"


def local_places(beside: Mapping[str, Path]) -> tuple[str, ...]:
    """``file://`` addresses that the provenance names: a source or mirror of one's own, whose path others will read."""
    path = beside.get(_STATEMENTS[0])
    found = _LOCAL.findall(path.read_text(encoding="utf-8", errors="replace")) if path else ()
    return tuple(dict.fromkeys(map(clean, found)))


def _statements(path: Path) -> list[Statement]:
    data = path.read_bytes()
    payloads = [one.payload for one in read_bundle(data)] if path.suffix == ".jsonl" else [data]
    return [read_statement(payload) for payload in payloads]


def _other(name: str, said: Statement, beside: Mapping[str, Path]) -> Iterator[str]:
    """Files beside the wheel that a build's statement names as its by-products, with another hash."""
    named = {path.name: path for path in beside.values()}
    details = said.predicate.get("runDetails")
    products = details.get("byproducts") if isinstance(details, dict) else None
    for one in products if isinstance(products, list) else ():
        path = named.get(str(one.get("name"))) if isinstance(one, dict) else None
        digest = one.get("digest") if path else None
        if path and isinstance(digest, dict) and digest.get("sha256") != sha256_of(path):
            yield f"{path.name} is not the one that {name} names"
