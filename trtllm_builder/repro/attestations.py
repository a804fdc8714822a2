"""What PEP 740 calls provenance, told from ours: only such may be named in an index's ``provenance`` key.

Source: PyPA's "Index hosted attestations" (https://packaging.python.org/specifications/index-hosted-attestations/): an
object of version 1 with bundles, each of a Trusted Publisher's identity and attestations of version 1, which carry a
certificate, entries of a transparency log, and a statement with its signature. A DSSE envelope that was signed with an
offline key has no certificate and no such entries: it is none.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from trtllm_builder.attest.statement import LIMIT, StatementError, read_json, read_statement


def is_attestation_bundle(path: Path, sha256: str) -> bool:
    """Whether the file is a provenance object of PEP 740 all of whose attestations are of the file with that SHA-256.

    Certificates and log entries are not verified: that takes Sigstore's root of trust, and is for whoever installs.
    """
    try:
        with path.open("rb") as stream:
            document = read_json(stream.read(LIMIT + 1))
        if document["version"] != 1:
            return False
        bundles = document["attestation_bundles"]
        found = [one for bundle in bundles if bundle["publisher"]["kind"] for one in bundle["attestations"]]
        return (
            bool(found)
            and len(found) == sum(len(b["attestations"]) for b in bundles)
            and all(_is_attestation(one, sha256) for one in found)
        )
    except (OSError, StatementError, KeyError, TypeError, AttributeError, IndexError):
        return False


def _is_attestation(one: Any, sha256: str) -> bool:
    material, envelope = one["verification_material"], one["envelope"]
    try:
        certificate = base64.b64decode(material["certificate"], validate=True)
        signature = base64.b64decode(envelope["signature"], validate=True)
        statement = read_statement(base64.b64decode(envelope["statement"], validate=True))
    except (binascii.Error, ValueError):
        return False
    logged = material["transparency_entries"]
    return (
        one["version"] == 1
        and bool(certificate and signature)
        and isinstance(logged, list)
        and bool(logged)
        and statement.is_of(sha256)
    )
