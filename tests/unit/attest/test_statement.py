from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.attest.statement import PROVENANCE, STATEMENT, StatementError, read_statement

SHA = "ab" * 32
GOOD: dict[str, Any] = {
    "_type": STATEMENT,
    "subject": [{"name": "x.whl", "digest": {"sha256": SHA}}],
    "predicateType": PROVENANCE,
    "predicate": {
        "buildDefinition": {"buildType": "pkg:x/y", "externalParameters": {}, "resolvedDependencies": [{"uri": "a:b"}]},
        "runDetails": {"builder": {"id": "https://b"}, "metadata": {"startedOn": "2026-01-02T03:04:05Z"}},
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=15,
)


def read(document: object) -> Any:
    return read_statement(json.dumps(document).encode())


def changed(path: str, value: object) -> dict[str, Any]:
    """GOOD with ``value`` at a dotted path; none takes the key away."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    at: Any = document
    for parent in parents:
        at = at[int(parent) if isinstance(at, list) else parent]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return document


def test_a_sound_statement() -> None:
    found = read(GOOD)
    assert found.faults == () and found.predicate_type == PROVENANCE and found.subjects[0].name == "x.whl"
    assert found.is_of(SHA) and not found.is_of("cd" * 32)
    assert read(changed("subject.0.name", None)).is_of(SHA)  # names are optional, digests are what counts
    assert read(changed("predicateType", "https://example.org/other")).faults == ()
    assert not read(changed("subject.0.digest", {"md5": SHA})).is_of(SHA)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"_type": NaN}', "NaN is no JSON"),
        (b'{"_type": "a", "_type": "b"}', "a key stands in it twice"),
        (b" " * ((64 << 20) + 1), "more than 64 MiB"),
    ],
)
def test_what_is_no_statement(data: bytes, told: str) -> None:
    with pytest.raises(StatementError, match=told):
        read_statement(data)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1", "its _type is not"),
        ("subject", [], "no subject"),
        ("subject", [{"name": "x"}], "no digest"),
        ("subject", [{"digest": {"sha256": 7}}], "no digest"),
        ("subject.0.name", 7, "no text"),
        ("predicateType", "", "no predicateType"),
        ("predicate", [], "no JSON object"),
    ],
)
def test_a_statement_that_is_none(path: str, value: object, told: str) -> None:
    with pytest.raises(StatementError, match=told):
        read(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("predicate.buildDefinition", None, "no buildDefinition"),
        ("predicate.buildDefinition.buildType", "a b", "buildType is no URI"),
        ("predicate.buildDefinition.externalParameters", None, "no externalParameters"),
        ("predicate.buildDefinition.internalParameters", 7, "internalParameters are no JSON object"),
        ("predicate.buildDefinition.resolvedDependencies", 7, "resolvedDependencies are no list"),
        ("predicate.buildDefinition.resolvedDependencies", [{"name": "x"}], "neither uri nor digest nor content"),
        ("predicate.buildDefinition.resolvedDependencies", [{"uri": "a:b", "digest": 7}], "no proper digest"),
        ("predicate.runDetails", None, "no runDetails"),
        ("predicate.runDetails.builder", None, "no URI as its id"),
        ("predicate.runDetails.metadata", 7, "metadata is no JSON object"),
        ("predicate.runDetails.metadata.invocationId", 7, "invocationId is no text"),
        ("predicate.runDetails.metadata.startedOn", "2026-01-02 03:04", "startedOn is no time"),
        ("predicate.runDetails.byproducts", [7], "neither uri nor digest nor content"),
    ],
)
def test_a_predicate_that_slsa_would_refuse(path: str, value: object, told: str) -> None:
    assert any(told in fault for fault in read(changed(path, value)).faults)


@settings(max_examples=60)
@given(
    document=JSON,
    place=st.sampled_from(["", "subject", "predicate", "predicate.runDetails", "predicate.buildDefinition"]),
)
def test_anything_is_a_sentence(document: object, place: str) -> None:
    with contextlib.suppress(StatementError):
        read(changed(place, document if document is not None else 0) if place else document)
