from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder.attest.keys import PASSPHRASE, parse_private_key, read_private_key, read_public_key
from trtllm_builder.errors import BuilderError, HostError, UsageError


def run(directory: Path, *words: str) -> bytes:
    return subprocess.run(words, cwd=directory, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As people make them: ``pem`` and ``ssh`` with their public halves, ``locked`` and
    ``ssh-locked`` (passphrase: open), ``rsa``."""
    directory = tmp_path_factory.mktemp("keys")
    run(directory, "openssl", "genpkey", "-algorithm", "ed25519", "-out", "pem")
    run(directory, "openssl", "pkey", "-in", "pem", "-pubout", "-out", "pem.pub")
    run(directory, "openssl", "pkey", "-in", "pem", "-aes256", "-passout", "pass:open", "-out", "locked")
    run(directory, "openssl", "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "rsa")
    run(directory, "openssl", "pkey", "-in", "rsa", "-pubout", "-out", "rsa.pub")
    run(directory, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh", "-C", "somebody")
    run(directory, "ssh-keygen", "-q", "-t", "ed25519", "-N", "open", "-a", "1", "-f", "ssh-locked")
    for name in ("pem", "locked", "rsa"):
        (directory / name).chmod(0o600)
    return directory


def test_both_forms_are_read_and_named_alike(keys: Path) -> None:
    for name in ("pem", "ssh"):
        private = read_private_key(keys / name, {})
        assert private.public.keyid == read_public_key(keys / f"{name}.pub").keyid
        assert private.public.made(private.sign(b"x"), b"x") and not private.public.made(private.sign(b"x"), b"y")
        # Nothing of the key is in what a log would print.
        secret = (keys / name).read_text().splitlines()[1]
        assert secret not in repr(private) and repr(private) == f"PrivateKey({private.public.keyid})"
    der = run(keys, "openssl", "pkey", "-pubin", "-in", "pem.pub", "-outform", "DER")
    assert read_public_key(keys / "pem.pub").keyid == hashlib.sha256(der).hexdigest()


def test_a_passphrase_comes_from_its_variable_alone(keys: Path) -> None:
    assert (
        read_private_key(keys / "locked", {PASSPHRASE: "open"}).public.keyid == read_public_key(keys / "pem.pub").keyid
    )
    named = read_public_key(keys / "ssh-locked.pub").keyid
    assert read_private_key(keys / "ssh-locked", {PASSPHRASE: "open"}).public.keyid == named
    # One that is set and not needed does no harm.
    assert read_private_key(keys / "pem", {PASSPHRASE: "open"})
    for environ, told in (({}, "has a passphrase"), ({PASSPHRASE: "no"}, "is not its passphrase")):
        for name in ("locked", "ssh-locked"):
            with pytest.raises(UsageError, match=told):
                read_private_key(keys / name, environ)


def test_without_bcrypt_it_says_so_and_blames_no_passphrase(keys: Path) -> None:
    script = (
        "import pathlib, sys; sys.modules['bcrypt'] = None; from trtllm_builder.attest.keys import *;"
        "read_private_key(pathlib.Path('ssh-locked'), {PASSPHRASE: 'open'})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=keys, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "HostError" in last and "bcrypt that opens such keys is not installed" in last


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(keys: Path, tmp_path: Path, mode: int) -> None:
    copy = tmp_path / "key"
    copy.write_bytes((keys / "pem").read_bytes())
    copy.chmod(mode)
    with pytest.raises(UsageError, match=f"others may read .*{mode:o}"):
        read_private_key(copy, {})


def test_rubbish_is_a_sentence(keys: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "text").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    for name, told in (
        ("large", "too large"),
        ("text", "can be read"),
        ("pipe", "is no file"),
        ("none", "no such file"),
    ):
        for read in (lambda path: read_private_key(path, {}), read_public_key):
            (tmp_path / name).chmod(0o600) if name != "none" else None
            with pytest.raises(UsageError, match=told):
                read(tmp_path / name)
    for name, told in (("rsa", "no Ed25519"), ("pem.pub", "is a public key"), ("ssh.pub", "is a public key")):
        with pytest.raises(UsageError, match=told):
            read_private_key(keys / name, {})
    for name, told in (("rsa.pub", "no Ed25519"), ("pem", "is a private key"), ("ssh", "is a private key")):
        with pytest.raises(UsageError, match=told):
            read_public_key(keys / name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=3),
    name=st.sampled_from(["pem", "ssh"]),
)
def test_a_damaged_key_is_a_sentence(keys: Path, flips: list[tuple[int, int]], name: str) -> None:
    data = bytearray((keys / name).read_bytes())
    for at, value in flips:
        data[at % len(data)] = value
    with contextlib.suppress(BuilderError):
        parse_private_key(bytes(data), "a test", {PASSPHRASE: "x"})


def test_without_cryptography_it_says_what_to_install(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(HostError, match="cryptography, which is not installed") as raised:
        read_public_key(keys / "pem.pub")
    assert "pip install -e '.[sign]'" in raised.value.remedy
