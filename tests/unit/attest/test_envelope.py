from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.attest.envelope import Signature, pae, read_bundle, read_envelope, sign
from trtllm_builder.attest.keys import PrivateKey, parse_private_key
from trtllm_builder.attest.statement import StatementError


def new_key() -> PrivateKey:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return parse_private_key(Ed25519PrivateKey.generate().private_bytes(*form), "a test", {})


def test_what_is_signed_is_what_dsse_says() -> None:
    """The example of DSSE's protocol.md."""
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_signature_holds_and_nothing_else_does() -> None:
    key, other = new_key(), new_key()
    envelope = read_envelope(sign(b'{"a": 1}', key).line().encode())
    assert envelope.payload == b'{"a": 1}' and envelope.signatures[0].keyid == key.public.keyid
    assert envelope.signer([other.public, key.public]) == key.public
    assert envelope.signer([other.public]) is None and envelope.signer([]) is None
    assert replace(envelope, payload=b'{"a": 2}').signer([key.public]) is None
    assert replace(envelope, payload_type="text/plain").signer([key.public]) is None
    # The name of a key is no proof, and its absence no fault.
    renamed = Signature(other.public.keyid, envelope.signatures[0].value)
    assert replace(envelope, signatures=(renamed,)).signer([other.public]) is None
    assert replace(envelope, signatures=(renamed,)).signer([key.public]) == key.public
    for value in (b"", b"x" * 64, b"x" * 63):
        assert replace(envelope, signatures=(Signature("", value),)).signer([key.public]) is None


def test_openssl_agrees(tmp_path: Path) -> None:
    import subprocess

    run = lambda *words: subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)  # noqa: E731
    run("genpkey", "-algorithm", "ed25519", "-out", "key")
    run("pkey", "-in", "key", "-pubout", "-out", "public")
    key = parse_private_key((tmp_path / "key").read_bytes(), "openssl", {})
    envelope = sign(b"{}", key)
    (tmp_path / "said").write_bytes(pae(envelope.payload_type, envelope.payload))
    (tmp_path / "signature").write_bytes(envelope.signatures[0].value)
    run("pkeyutl", "-verify", "-pubin", "-inkey", "public", "-rawin", "-in", "said", "-sigfile", "signature")


def test_a_bundle_passes_over_lines_that_it_does_not_know() -> None:
    line = sign(b"{}", new_key()).line().encode()
    assert len(read_bundle(b"\nwhat\n" + line + b'{"payloadType": "other"}\n' + line)) == 2
    for nothing in (b"", b"{}\n", b"\xff"):
        with pytest.raises(StatementError):
            read_bundle(nothing)
    # URL-safe base64 is taken too (DSSE, envelope.md).
    document = json.loads(line)
    document["signatures"][0]["sig"] = base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode()
    assert read_envelope(json.dumps(document).encode()).signatures[0].value == b"\xff\xfe\xfd"


KEY = new_key()
LINE = sign(b'{"a": 1}', KEY).line().encode()


@settings(max_examples=80)
@given(at=st.integers(0, len(LINE) - 2), to=st.integers(0, 255))
def test_no_change_of_a_byte_goes_unseen(at: int, to: int) -> None:
    """Either it is no envelope any more, or it says the same, or the signature fails."""
    data = bytearray(LINE)
    data[at] = to
    with contextlib.suppress(StatementError):
        found = read_envelope(bytes(data))
        assert found.payload == b'{"a": 1}' or found.signer([KEY.public]) is None


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["payload", "payloadType", "signatures"]),
        st.none() | st.text(max_size=9) | st.just("application/vnd.in-toto+json")
        | st.lists(st.dictionaries(st.sampled_from(["keyid", "sig"]), st.none() | st.text(max_size=9)), max_size=3),
    )
)  # fmt: skip
def test_any_envelope_is_a_sentence(document: dict[str, object]) -> None:
    with contextlib.suppress(StatementError):
        read_envelope(json.dumps(document).encode()).signer([KEY.public])
