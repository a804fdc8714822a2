"""Signing a wheel's provenance with an offline key: an in-toto bundle, ``WHEEL.intoto.jsonl``, beside both.

Ed25519 in a DSSE envelope, which in-toto's own tools and cosign read too. The key stays where it is: it is read, and
neither copied nor shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.attest.envelope import Envelope, read_bundle, read_envelope, sign
from trtllm_builder.attest.keys import PrivateKey, parse_private_key, read_private_key
from trtllm_builder.attest.statement import LIMIT, PROVENANCE, StatementError, read_statement
from trtllm_builder.errors import UsageError, VerifyError
from trtllm_builder.repro.provenance import provenance_path
from trtllm_builder.repro.wheel_writer import sha256_of

KEY_VARIABLE = "TRTLLM_BUILD_SIGNING_KEY"


@dataclass(frozen=True)
class Signed:
    """``keyids`` are those of all signatures in the bundle now, ours last."""

    bundle: Path
    keyid: str
    keyids: tuple[str, ...]


def bundle_path(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}.intoto.jsonl")


def key_from_variable(name: str, environ: Mapping[str, str]) -> PrivateKey:
    """The variable holds the key's text, as CI systems keep secrets, or the path of its file. Raises UsageError."""
    text = environ.get(name, "")
    if not text.strip():
        raise UsageError(
            f"the environment variable {name} holds no key",
            remedy="Set it to the key's text or its file's path; `sign` takes --key FILE too.",
        )
    if "-----BEGIN" in text:
        return parse_private_key(text.strip().encode() + b"\n", f"the variable {name}", environ)
    return read_private_key(Path(text).expanduser(), environ)


def sign_wheel(wheel: Path, key: PrivateKey, *, sha256: str | None = None) -> Signed:
    """Signs the statement beside ``wheel``, after comparing it with the wheel. Signatures of other keys over the very
    same statement stay, and so do attestations of other kinds; another provenance's go, it is of another build.
    ``sha256`` is the wheel's, where it is known already.

    Raises UsageError when there is no statement and VerifyError when it is of other bytes.
    """
    path = provenance_path(wheel)
    payload = _payload(path)
    try:
        statement = read_statement(payload)
    except StatementError as error:
        raise VerifyError(f"{path} is no provenance: {error}", remedy="Build the wheel again.") from error
    if not statement.is_of(sha256 or sha256_of(wheel)):
        raise VerifyError(
            f"{path} speaks of other bytes than {wheel.name} has", remedy="One of the two was changed: build it again."
        )
    bundle = bundle_path(wheel)
    envelope, others = _joined(bundle, sign(payload, key))
    write_whole(bundle, b"".join([*others, envelope.line().encode()]))
    return Signed(bundle, key.public.keyid, tuple(one.keyid for one in envelope.signatures))


def drop_other_bundle(wheel: Path, statement: bytes) -> None:
    """Takes away a bundle without a signature over this statement: it is of the build that is about to be replaced."""
    try:
        signed = [one.payload for one in read_bundle(bundle_path(wheel).read_bytes())]
    except (OSError, StatementError):
        return
    if statement not in signed:
        bundle_path(wheel).unlink()


def _payload(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(LIMIT + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
            remedy="What is signed is the provenance that a build of ours leaves beside its wheel.",
        ) from error


def _joined(bundle: Path, envelope: Envelope) -> tuple[Envelope, list[bytes]]:
    """``envelope`` with the signatures that others made of it, and the bundle's other lines."""
    try:
        lines = bundle.read_bytes().splitlines()
    except FileNotFoundError:
        return envelope, []
    own, others, signatures = envelope.signatures[0], [], []
    for line in lines:
        try:
            before = read_envelope(line)
            ours = read_statement(before.payload).predicate_type == PROVENANCE
        except StatementError:
            others.append(line + b"\n")
            continue
        if before.payload == envelope.payload:
            signatures += [one for one in before.signatures if one.keyid != own.keyid]
        elif not ours:
            others.append(line + b"\n")
    return replace(envelope, signatures=(*signatures, own)), others


def write_whole(path: Path, data: bytes) -> None:
    """The file as it was, or with all of ``data``."""
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        with unfinished.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
