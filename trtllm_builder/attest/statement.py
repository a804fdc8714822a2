"""in-toto statements with a SLSA provenance predicate, read as if a stranger had made them.

Sources: in-toto attestation framework v1 (spec/v1/statement.md, resource_descriptor.md, digest_set.md), SLSA
"Provenance" v1 (https://slsa.dev/spec/v1.1/provenance). Fields that are not known are left alone, as both ask.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
LIMIT = 64 << 20  # bytes of a file that is read


class StatementError(ValueError):
    """What is no statement; the message is a clause: "it is no JSON"."""


@dataclass(frozen=True)
class Subject:
    """What is spoken of. Digests are hexadecimal, by the names of DigestSet."""

    name: str
    digest: Mapping[str, str]


@dataclass(frozen=True)
class Statement:
    """``faults``: where a provenance predicate is not as SLSA v1 wants it; empty for predicates of another type."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Any]
    faults: tuple[str, ...]

    def is_of(self, sha256: str) -> bool:
        """ "Subject artifacts are matched purely by digest" (statement.md)."""
        return any(subject.digest.get("sha256", "").lower() == sha256 for subject in self.subjects)


def read_json(data: bytes) -> Any:
    """Plain JSON in which no key stands twice: readers differ in which one they believe. Raises StatementError."""
    if len(data) > LIMIT:
        raise StatementError(f"it has more than {LIMIT >> 20} MiB")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except StatementError:
        raise
    except (ValueError, RecursionError) as error:
        raise StatementError("it is no JSON") from error


def read_statement(data: bytes) -> Statement:
    """Raises StatementError for anything that is no in-toto statement of version 1 with subjects."""
    document = read_json(data)
    if not isinstance(document, dict):
        raise StatementError("it is no JSON object")
    if document.get("_type") != STATEMENT:
        raise StatementError(f"its _type is not {STATEMENT}")
    subjects = document.get("subject")
    if not isinstance(subjects, list) or not subjects:
        raise StatementError("it has no subject")
    kind, predicate = document.get("predicateType"), document.get("predicate", {})
    if not isinstance(kind, str) or not kind:
        raise StatementError("it has no predicateType")
    if not isinstance(predicate, dict):
        raise StatementError("its predicate is no JSON object")
    faults = tuple(_provenance_faults(predicate)) if kind == PROVENANCE else ()
    return Statement(tuple(_subject(one) for one in subjects), kind, predicate, faults)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StatementError("a key stands in it twice")
    return found


def _refuse(constant: str) -> None:
    raise StatementError(f"{constant} is no JSON")


def _subject(one: object) -> Subject:
    if not isinstance(one, dict) or not _is_digest_set(one.get("digest")):
        raise StatementError("a subject of it has no digest")
    name = one.get("name", "")
    if not isinstance(name, str):
        raise StatementError("a subject's name is no text")
    return Subject(name, one["digest"])


def _is_digest_set(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(one, str) and one for one in value.values())


def _provenance_faults(predicate: Mapping[str, Any]) -> Iterator[str]:
    definition, run = predicate.get("buildDefinition"), predicate.get("runDetails")
    if not isinstance(definition, dict):
        yield "it has no buildDefinition"
    else:
        if not _is_uri(definition.get("buildType")):
            yield "its buildType is no URI"
        if not isinstance(definition.get("externalParameters"), dict):
            yield "it has no externalParameters"
        if not isinstance(definition.get("internalParameters", {}), dict):
            yield "its internalParameters are no JSON object"
        yield from _descriptor_faults(definition, "resolvedDependencies")
    if not isinstance(run, dict):
        yield "it has no runDetails"
        return
    builder, metadata = run.get("builder"), run.get("metadata", {})
    if not isinstance(builder, dict) or not _is_uri(builder.get("id")):
        yield "its builder has no URI as its id"
    if not isinstance(metadata, dict):
        yield "its metadata is no JSON object"
    else:
        if not isinstance(metadata.get("invocationId", ""), str):
            yield "its invocationId is no text"
        yield from (f"its {key} is no time" for key in ("startedOn", "finishedOn") if not _is_time(metadata.get(key)))
    yield from _descriptor_faults(run, "byproducts")


def _descriptor_faults(place: Mapping[str, Any], key: str) -> Iterator[str]:
    """A ResourceDescriptor "MUST specify one of uri, digest or content at a minimum"."""
    listed = place.get(key, [])
    if not isinstance(listed, list):
        yield f"its {key} are no list"
        return
    for number, one in enumerate(listed):
        if not isinstance(one, dict) or not any(one.get(field) for field in ("uri", "digest", "content")):
            yield f"{key}[{number}] has neither uri nor digest nor content"
        elif not (_is_digest_set(one["digest"]) if "digest" in one else True):
            yield f"{key}[{number}] has no proper digest"


def _is_uri(value: object) -> bool:
    return (
        isinstance(value, str) and bool(value.partition(":")[0]) and ":" in value and not any(map(str.isspace, value))
    )


def _is_time(value: object) -> bool:
    """RFC 3339 in UTC, or nothing: both times are optional."""
    if value is None:
        return True
    try:
        return isinstance(value, str) and value.endswith("Z") and bool(datetime.fromisoformat(value[:-1]))
    except ValueError:
        return False
