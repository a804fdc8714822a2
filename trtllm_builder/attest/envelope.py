"""DSSE envelopes: a statement and who signed it; and the bundles that in-toto keeps them in.

Sources: DSSE v1.0 (envelope.md, protocol.md: what is signed is PAE(type, payload)); in-toto spec/v1/envelope.md
(payloadType) and bundle.md (``FILE.intoto.jsonl``, one envelope a line; lines that are not known are passed over).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass

from trtllm_builder.attest.keys import PrivateKey, PublicKey
from trtllm_builder.attest.statement import LIMIT, StatementError, read_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_LINES = 1000
_SIGNATURES = 100


@dataclass(frozen=True)
class Signature:
    """``keyid`` is a hint to the key and no more: it is not signed."""

    keyid: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """``payload`` are the bytes that were signed; nothing in them is to be believed before ``signer``."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def signer(self, keys: Iterable[PublicKey]) -> PublicKey | None:
        """The first of ``keys`` that signed this, whatever the envelope says of keys."""
        signed = pae(self.payload_type, self.payload)
        return next((key for key in keys if any(key.made(one.value, signed) for one in self.signatures)), None)

    def to_json(self) -> dict[str, object]:
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.value).decode()} for one in self.signatures
            ],
        }

    def line(self) -> str:
        return json.dumps(self.to_json(), sort_keys=True) + "\n"


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload with their lengths, so that neither runs into the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: PrivateKey) -> Envelope:
    signature = Signature(key.public.keyid, key.sign(pae(PAYLOAD_TYPE, payload)))
    return Envelope(PAYLOAD_TYPE, payload, (signature,))


def read_bundle(data: bytes) -> tuple[Envelope, ...]:
    """The envelopes of an in-toto statement. Raises StatementError when there is none."""
    if len(data) > LIMIT:
        raise StatementError(f"it has more than {LIMIT >> 20} MiB")
    found = []
    for line in data.splitlines()[:_LINES]:
        try:
            found.append(read_envelope(line))
        except StatementError:
            continue
    if not found:
        raise StatementError("none of its lines is a signed in-toto statement")
    return tuple(found)


def read_envelope(data: bytes) -> Envelope:
    """One envelope. Raises StatementError."""
    document = read_json(data)
    if not isinstance(document, dict) or document.get("payloadType") != PAYLOAD_TYPE:
        raise StatementError(f"its payloadType is not {PAYLOAD_TYPE}")
    signatures = document.get("signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= _SIGNATURES:
        raise StatementError("it has no signatures, or very many")
    return Envelope(
        PAYLOAD_TYPE, _decoded(document.get("payload"), "payload"), tuple(_signature(one) for one in signatures)
    )


def _signature(one: object) -> Signature:
    if not isinstance(one, dict) or not isinstance(one.get("keyid", ""), str):
        raise StatementError("a signature of it is none")
    return Signature(one.get("keyid", ""), _decoded(one.get("sig"), "signature"))


def _decoded(text: object, what: str) -> bytes:
    """Standard or URL-safe base64: a reader "MUST" take both (DSSE, envelope.md)."""
    if not isinstance(text, str):
        raise StatementError(f"it has no {what}")
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise StatementError(f"its {what} is no base64") from error
