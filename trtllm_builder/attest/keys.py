"""Ed25519 keys as people have them: PEM of ``openssl genpkey -algorithm ed25519``, or OpenSSH's ``ssh-keygen``.

``cryptography`` does the arithmetic and reads both forms, ssh-keygen's with a passphrase by ``bcrypt``; they are an
extra (``sign``), imported when a key is read. A key's identifier is the SHA-256 of its
SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) in DER, in hexadecimal, which is also what
``openssl pkey -pubin -outform DER | sha256sum`` prints.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from trtllm_builder.errors import HostError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# Where a passphrase is looked for, and nowhere else.
PASSPHRASE = "TRTLLM_BUILD_KEY_PASSPHRASE"  # noqa: S105 - a variable's name
_LIMIT = 64 << 10  # bytes of a key file
_MAKE_ONE = "Make one with: openssl genpkey -algorithm ed25519 -out KEY, and chmod 600 KEY."


@dataclass(frozen=True)
class PublicKey:
    keyid: str
    inner: Ed25519PublicKey

    def made(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed ``message``."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.inner.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """Never shown: its representation is the public half's."""

    public: PublicKey
    _inner: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.keyid})"

    def sign(self, message: bytes) -> bytes:
        return self._inner.sign(message)


def read_private_key(path: Path, environ: Mapping[str, str]) -> PrivateKey:
    """A private key of a file that only its owner may read. Raises UsageError and HostError."""
    data = _read(path)
    if data.startswith(b"ssh-ed25519 ") or b"PUBLIC KEY" in data[:100]:
        raise UsageError(f"{path} is a public key", remedy="Signing needs the private one.")
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"others may read the private key {path} (its mode is {stat.S_IMODE(mode):o})",
            remedy=f"Say chmod 600 {path}. Where others could have read it, make a new key.",
        )
    return parse_private_key(data, str(path), environ)


def parse_private_key(data: bytes, origin: str, environ: Mapping[str, str]) -> PrivateKey:
    """``origin`` says in messages where the key is from. Raises UsageError and HostError."""
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        try:
            key = _load(data, None)
        except TypeError as error:  # it is encrypted
            passphrase = environ.get(PASSPHRASE, "")
            if not passphrase:
                remedy = f"Give it in the environment variable {PASSPHRASE}."
                raise UsageError(f"the private key of {origin} has a passphrase", remedy=remedy) from error
            key = _load(data, passphrase.encode())
    except UnsupportedAlgorithm as error:
        if find_spec("bcrypt") is None:
            what = (
                f"the private key of {origin} has a passphrase of ssh-keygen, and the Python package bcrypt that opens"
            )
            remedy = "Run: python -m pip install -e '.[sign]' in your clone of trtllm-builder."
            raise HostError(f"{what} such keys is not installed", remedy=remedy) from error
        raise UsageError(f"the private key of {origin} cannot be opened: {error}", remedy=_MAKE_ONE) from error
    except ValueError as error:
        what = f"{origin} holds no private key that can be read, or {PASSPHRASE} is not its passphrase"
        raise UsageError(what, remedy=_MAKE_ONE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"the private key of {origin} is no Ed25519 key", remedy=_MAKE_ONE)
    return PrivateKey(_public(key.public_key()), key)


def read_public_key(path: Path) -> PublicKey:
    """PEM, or a line such as ``ssh-ed25519 AAAA... name``. Raises UsageError and HostError."""
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise UsageError(
            f"{path} is a private key", remedy="Verifying takes the public one: openssl pkey -in KEY -pubout."
        )
    ssh = data.startswith(b"ssh-")
    try:
        key = serialization.load_ssh_public_key(data) if ssh else serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        remedy = "Give a PEM file of openssl pkey -pubout, or a .pub file of ssh-keygen -t ed25519."
        raise UsageError(f"{path} holds no public key that can be read", remedy=remedy) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"the public key {path} is no Ed25519 key", remedy=_MAKE_ONE)
    return _public(key)


def _load(data: bytes, passphrase: bytes | None) -> object:
    """Raises TypeError when a passphrase is needed, ValueError for what cannot be read, UnsupportedAlgorithm."""
    from cryptography.hazmat.primitives import serialization

    ssh = b"OPENSSH PRIVATE KEY" in data[:100]
    return (serialization.load_ssh_private_key if ssh else serialization.load_pem_private_key)(data, passphrase)


def _public(key: Ed25519PublicKey) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return PublicKey(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest(), key)


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting
            raise UsageError(f"the key {path} is no file", remedy="Give the path of a key file.")
        with path.open("rb") as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        what = f"the key {path} cannot be read: {(error.strerror or str(error)).lower()}"
        raise UsageError(what, remedy="Give the path of a key file.") from error
    if len(data) > _LIMIT:
        raise UsageError(f"{path} is too large for a key", remedy="Give the path of a key file.")
    return data


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise HostError(
            "keys need the Python package cryptography, which is not installed",
            remedy="Run: python -m pip install -e '.[sign]' in your clone of trtllm-builder.",
        ) from error
