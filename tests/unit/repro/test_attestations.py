from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder.attest.statement import STATEMENT
from trtllm_builder.repro.attestations import is_attestation_bundle

SHA = "ab" * 32


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


SAID = {"_type": STATEMENT, "subject": [{"digest": {"sha256": SHA}}], "predicateType": "https://example.org/x"}
GOOD: dict[str, Any] = {
    "version": 1,
    "attestation_bundles": [
        {
            "publisher": {"kind": "GitHub", "repository": "a/b"},
            "attestations": [
                {
                    "version": 1,
                    "verification_material": {"certificate": "AAAA", "transparency_entries": [{"logIndex": "1"}]},
                    "envelope": {"statement": encoded(SAID), "signature": "AAAA"},
                }
            ],
        }
    ],
}


def judged(tmp_path: Path, document: object) -> bool:
    path = tmp_path / "x.provenance"
    path.write_text(json.dumps(document))
    return is_attestation_bundle(path, SHA)


def test_only_what_a_trusted_publisher_makes(tmp_path: Path) -> None:
    assert judged(tmp_path, GOOD)
    assert not is_attestation_bundle(tmp_path / "none", SHA)
    assert not is_attestation_bundle(tmp_path / "x.provenance", "cd" * 32)
    # Ours: a statement, and one signed with an offline key.
    assert not judged(tmp_path, SAID)
    assert not judged(tmp_path, {"payloadType": "application/vnd.in-toto+json", "payload": "", "signatures": []})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["version"], 2),
        (["attestation_bundles"], []),
        (["attestation_bundles", 0, "publisher"], {}),
        (["attestation_bundles", 0, "publisher", "kind"], ""),
        (["attestation_bundles", 0, "attestations"], []),
        (["attestation_bundles", 0, "attestations", 0, "version"], 2),
        (["attestation_bundles", 0, "attestations", 0, "verification_material", "certificate"], "?"),
        (["attestation_bundles", 0, "attestations", 0, "verification_material", "transparency_entries"], []),
        (["attestation_bundles", 0, "attestations", 0, "envelope", "signature"], ""),
        (["attestation_bundles", 0, "attestations", 0, "envelope", "statement"], encoded({})),
        (["attestation_bundles", 0, "attestations", 0, "envelope", "statement"], 7),
    ],
)
def test_what_lacks_something_is_none(tmp_path: Path, place: list[Any], value: object) -> None:
    document = copy.deepcopy(GOOD)
    at: Any = document
    for one in place[:-1]:
        at = at[one]
    at[place[-1]] = value
    assert not judged(tmp_path, document)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=2)),
    key=st.sampled_from(["version", "attestation_bundles"]),
)
def test_rubbish_is_none(tmp_path: Path, value: object, key: str) -> None:
    if not (key == "version" and value == 1):
        assert not judged(tmp_path, {**GOOD, key: value})
    assert not judged(tmp_path, value)
