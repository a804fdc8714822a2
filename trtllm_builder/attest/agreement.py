"""Whether what lies beside a wheel of ours tells of one build: record, lock, provenance and its signed copy.

Nothing here says that any of it is true, which takes a signature by a key that one trusts: only that the files do not
contradict each other. Formats: repro/lock.py, repro/wheel-build-v1.md, in-toto's ResourceDescriptor and bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trtllm_builder.attest.envelope import read_bundle
from trtllm_builder.attest.statement import (
    LIMIT,
    PROVENANCE,
    Statement,
    StatementError,
    read_json,
    read_statement,
)
from trtllm_builder.text import clean, redact

BUILD_TYPE = "pkg:pypi/trtllm-builder#trtllm_builder/repro/wheel-build-v1.md"
RECORD, LOCK, PLAIN, BUNDLE = ".record.json", ".lock.json", ".intoto.json", ".intoto.jsonl"
_BESIDE = (RECORD, LOCK, PLAIN, BUNDLE, ".report.html")
_SHOWN = 3


def beside(wheel: Path) -> dict[str, Path]:
    """The files of a build that are there, by what is added to the wheel's name."""
    places = {suffix: wheel.with_name(f"{wheel.name}{suffix}") for suffix in _BESIDE}
    return {suffix: path for suffix, path in places.items() if path.is_file()}


def contradictions(files: Mapping[str, Path], sha256: str) -> Iterator[str]:
    """What these files say of the wheel with that SHA-256 against each other, a sentence each. ``files`` as ``beside``
    has them; what cannot be read, or is of another wheel, is not for this to say."""
    statements = list(_statements(files, sha256))
    signed = [
        payload for path, payload, said in statements if path.suffix == ".jsonl" and said.predicate_type == PROVENANCE
    ]
    for path, payload, said in statements:
        if path.suffix != ".jsonl" and signed and payload not in signed:
            yield f"{path.name} is not the statement that was signed, in {files[BUNDLE].name}"
        yield from _products(path.name, said, files)
        if path.suffix != ".jsonl" or _definition(said).get("buildType") == BUILD_TYPE:
            yield from _of_another_build(path.name, said, files)


def descriptor(one: Mapping[str, Any]) -> dict[str, Any]:
    """An input, as a lock has it, as a ResourceDescriptor. One of uri, digest and content is required: what has no
    address and no hash is named."""
    uri, digest = redact(one.get("uri", "")), one.get("digest", {})
    uri = uri or ("" if digest else f"pkg:generic/{quote(one['name'], safe='')}")
    told = {"kind": one["kind"], **({"version": one["version"]} if one.get("version") else {})}
    return {
        "name": one["name"],
        **({"uri": uri} if uri else {}),
        **({"digest": dict(sorted(digest.items()))} if digest else {}),
        "annotations": {**told, **({"size": one["size"]} if one.get("size") is not None else {})},
    }


def _statements(files: Mapping[str, Path], sha256: str) -> Iterator[tuple[Path, bytes, Statement]]:
    for suffix in (PLAIN, BUNDLE):
        with suppress(OSError, StatementError, KeyError):
            data = _read(files[suffix])
            payloads = [one.payload for one in read_bundle(data)] if suffix == BUNDLE else [data]
            for payload in payloads:
                with suppress(StatementError):
                    said = read_statement(payload)
                    if said.is_of(sha256):
                        yield files[suffix], payload, said


def _products(name: str, said: Statement, files: Mapping[str, Path]) -> Iterator[str]:
    """Files beside the wheel that a build's statement names as its by-products, with another hash."""
    named = {path.name: path for path in files.values()}
    details = said.predicate.get("runDetails")
    products = details.get("byproducts") if isinstance(details, dict) else None
    for one in products if isinstance(products, list) else ():
        path = named.get(str(one.get("name"))) if isinstance(one, dict) else None
        digest = one.get("digest") if path else None
        if path and isinstance(digest, dict) and digest.get("sha256") != _sha256(path):
            yield f"{path.name} is not the one that {name} names"


def _of_another_build(name: str, said: Statement, files: Mapping[str, Path]) -> Iterator[str]:
    """What a provenance of ours says otherwise than the lock, or the record, that it was written with."""
    if said.predicate_type != PROVENANCE:
        if RECORD in files:
            yield f"{name} is no provenance, and {files[RECORD].name} is of a build that left one"
        return
    definition = _definition(said)
    if RECORD in files:
        if files[RECORD].name not in _names(said):
            yield f"{name} does not name {files[RECORD].name}, and so says nothing of it"
        with suppress(OSError, StatementError):
            record = read_json(_read(files[RECORD]))
            for what, ours, its in _twice(record, said):
                if None not in (ours, its) and ours != its:
                    yield f"{name} and {files[RECORD].name} differ in {what}"
    if LOCK not in files:
        return
    try:
        lock = read_json(_read(files[LOCK]))
        wanted = {_text(descriptor(one)): f"{one['kind']} {one['name']}" for one in lock["inputs"]}
        maker = next((one.get("version") for one in lock["inputs"] if one["kind"] == "builder"), None)
    except (OSError, StatementError, KeyError, TypeError, AttributeError, ValueError):
        yield f"{files[LOCK].name} is no lock"
        return
    if _member(definition, "externalParameters", "profile") not in (None, _member(lock, "name")):
        yield f"{name} and {files[LOCK].name} are of different profiles"
    listed = definition.get("resolvedDependencies")
    found = {_text(one): _kind_and_name(one) for one in (listed if isinstance(listed, list) else ())}
    others = sorted({wanted[one] for one in wanted.keys() - found} | {found[one] for one in found.keys() - wanted})
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        told = clean(", ".join(others[:_SHOWN])) + more
        yield f"{name} was not made from {files[LOCK].name}: they differ in {told}"
    version = _member(said.predicate, "runDetails", "builder", "version", "trtllm-builder")
    if version is not None and maker is not None and version != maker:
        yield f"{name} says that trtllm-builder {clean(str(version))[:40]} built it, and {files[LOCK].name} {maker}"


def _twice(record: Mapping[str, Any], said: Statement) -> Iterator[tuple[str, Any, Any]]:
    """What a record and a provenance both say."""
    definition = _definition(said)
    yield "the lock", _member(record, "lock"), _member(definition, "internalParameters", "lock")
    yield "the run", _member(record, "run"), _member(said.predicate, "runDetails", "metadata", "invocationId")
    source = "externalParameters", "source", "commit"
    yield "the commit", _member(record, "source", "commit") or None, _member(definition, *source) or None
    edited = _member(record, "source", "edited"), _member(definition, "internalParameters", "edited")
    ours, its = (sorted(one) if isinstance(one, dict) else None for one in edited)
    yield "what was edited", ours, its
    cache = (
        _member(record, "measured", "cache", "trusted"),
        _member(definition, "internalParameters", "cache", "trusted"),
    )
    yield "whether the compile cache is trusted", *cache


def _names(said: Statement) -> list[str]:
    """Its by-products."""
    found = _member(said.predicate, "runDetails", "byproducts")
    return [str(one.get("name")) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _definition(said: Statement) -> Mapping[str, Any]:
    found = said.predicate.get("buildDefinition")
    return found if isinstance(found, dict) else {}


def _member(document: Mapping[str, Any], *names: str) -> Any:
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _kind_and_name(one: object) -> str:
    if not isinstance(one, dict):
        return "something that is no input"
    return f"{_member(one, 'annotations', 'kind') or 'input'} {one.get('name')}"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(LIMIT + 1)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
