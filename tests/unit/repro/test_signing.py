from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trtllm_builder.attest.envelope import read_bundle
from trtllm_builder.attest.keys import PrivateKey, parse_private_key
from trtllm_builder.attest.statement import PROVENANCE, STATEMENT
from trtllm_builder.cli import sign as command
from trtllm_builder.errors import UsageError, VerifyError
from trtllm_builder.repro.provenance import provenance_path
from trtllm_builder.repro.signing import bundle_path, drop_other_bundle, key_from_variable, sign_wheel

FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def key_text() -> str:
    return Ed25519PrivateKey.generate().private_bytes(*FORM).decode()


def new_key() -> PrivateKey:
    return parse_private_key(key_text().encode(), "a test", {})


def state(wheel: Path, kind: str = PROVENANCE) -> None:
    """The statement of a build beside its wheel."""
    digest = {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}
    document = {"_type": STATEMENT, "subject": [{"name": wheel.name, "digest": digest}], "predicateType": kind}
    provenance_path(wheel).write_text(json.dumps(document))


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "x-1-py3-none-any.whl"
    path.write_bytes(b"bytes")
    state(path)
    return path


def test_signatures_over_the_same_statement_come_together(wheel: Path) -> None:
    one, two = new_key(), new_key()
    for key in (one, two, one):
        done = sign_wheel(wheel, key)
    assert done.keyids == (two.public.keyid, one.public.keyid) and done.bundle == bundle_path(wheel)
    (envelope,) = read_bundle(done.bundle.read_bytes())
    assert envelope.payload == provenance_path(wheel).read_bytes()
    assert envelope.signer([one.public]) and envelope.signer([two.public])
    assert sorted(path.name for path in wheel.parent.iterdir()) == [
        wheel.name, f"{wheel.name}.intoto.json", f"{wheel.name}.intoto.jsonl",
    ]  # fmt: skip


def test_another_build_takes_the_place_of_the_old_and_of_nothing_else(wheel: Path) -> None:
    old, new = new_key(), new_key()
    state(wheel, "https://example.org/reviewed")
    sign_wheel(wheel, old)
    reviewed = bundle_path(wheel).read_text()
    state(wheel)
    sign_wheel(wheel, old)
    bundle_path(wheel).write_text(bundle_path(wheel).read_text() + "a line of somebody's\n")
    wheel.write_bytes(b"other bytes")
    state(wheel)
    assert sign_wheel(wheel, new).keyids == (new.public.keyid,)
    assert bundle_path(wheel).read_text().startswith(reviewed + "a line of somebody's\n")
    assert len(read_bundle(bundle_path(wheel).read_bytes())) == 2


def test_what_is_not_of_the_wheel_is_not_signed(wheel: Path) -> None:
    wheel.write_bytes(b"other")
    with pytest.raises(VerifyError, match="speaks of other bytes"):
        sign_wheel(wheel, new_key())
    provenance_path(wheel).write_text("{}")
    with pytest.raises(VerifyError, match="is no provenance"):
        sign_wheel(wheel, new_key())
    provenance_path(wheel).unlink()
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        sign_wheel(wheel, new_key())
    assert not bundle_path(wheel).exists()


def test_a_bundle_of_a_replaced_statement_goes(wheel: Path) -> None:
    drop_other_bundle(wheel, b"")  # there is none
    sign_wheel(wheel, new_key())
    drop_other_bundle(wheel, provenance_path(wheel).read_bytes())
    assert bundle_path(wheel).exists()
    drop_other_bundle(wheel, b"another statement")
    assert not bundle_path(wheel).exists()


def test_a_key_in_a_variable(tmp_path: Path) -> None:
    text = key_text()
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    assert key_from_variable("K", {"K": text}).public.keyid == key_from_variable("K", {"K": str(file)}).public.keyid
    for value in ({}, {"K": " "}):
        with pytest.raises(UsageError, match="variable K holds no key"):
            key_from_variable("K", value)
    with pytest.raises(UsageError, match="the variable K holds no private key") as raised:
        key_from_variable("K", {"K": text.replace("M", "!")})
    assert text.splitlines()[1][10:30] not in str(raised.value)  # not in a message either


def test_the_command(
    wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    validate: Callable[[str, object], None],
) -> None:  # fmt: skip
    key = tmp_path / "key"
    key.write_text(key_text())
    key.chmod(0o600)
    command.sign([wheel], key=key, as_json=True)
    shown = capsys.readouterr().out
    validate("sign", json.loads(shown))
    assert key.read_text().splitlines()[1] not in shown
    monkeypatch.setenv("TRTLLM_BUILD_SIGNING_KEY", key_text())
    command.sign([wheel])
    assert "and with 1 other key" in capsys.readouterr().out
    monkeypatch.delenv("TRTLLM_BUILD_SIGNING_KEY")
    for wheels in ([wheel], [wheel, tmp_path / "none.whl"]):
        with pytest.raises(UsageError):
            command.sign(wheels)
