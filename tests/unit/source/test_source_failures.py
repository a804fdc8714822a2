"""Sentences for git's words: printed by git 2.39 here, or as public reports have them (TLS, most of ssh)."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from trtllm_builder.process import Completed
from trtllm_builder.source.failures import TransportError, classify, from_os_error, os_errors


def failed(stderr: str, *, timed_out: bool = False) -> TransportError:
    return classify(Completed(("git",), 128, "", stderr, timed_out), "fetching x")


@pytest.mark.parametrize(
    ("kind", "stderr"),
    [
        ("missing-ref", "fatal: couldn't find remote ref nosuch"),
        ("missing-ref", "fatal: couldn't find remote ref server-certificate"),
        ("missing-commit", f"fatal: remote error: upload-pack: not our ref {'1' * 40}"),
        ("no-sha-fetch", f"error: Server does not allow request for unadvertised object {'1' * 40}"),
        ("not-found", "remote: Repository not found.\nfatal: repository 'https://github.com/a/b/' not found"),
        ("not-found", "fatal: '/nosuch' does not appear to be a git repository"),
        ("not-found", "ERROR: Repository not found."),
        ("credentials", "fatal: could not read Username for 'https://github.com': terminal prompts disabled"),
        ("credentials", "fatal: Authentication failed for 'https://host/x/'"),
        ("credentials", "fatal: unable to access 'https://host/x/': The requested URL returned error: 403"),
        ("credentials", "git@github.com: Permission denied (publickey)."),
        ("credentials", "git@host: Permission denied (publickey,keyboard-interactive)."),
        ("credentials", "Host key verification failed."),
        ("no-network", "fatal: unable to access 'https://h/x/': Could not resolve host: h"),
        ("no-network", "ssh: Could not resolve hostname h: Temporary failure in name resolution"),
        ("no-network", "fatal: unable to access 'https://h/': Failed to connect to h port 443: Couldn't connect"),
        ("no-network", "ssh: connect to host 127.0.0.1 port 9: Connection refused"),
        ("no-network", "fatal: unable to access 'https://h/': Received HTTP code 407 from proxy after CONNECT"),
        ("tls", "fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none"),
        ("tls", "fatal: unable to access 'https://h/': SSL certificate problem: unable to get local issuer"),
        ("interrupted-transfer", "error: RPC failed; curl 56 GnuTLS recv error (-54): Error in the pull"),
        ("interrupted-transfer", "fatal: unable to access 'https://h/': Operation too slow. Less than 1000 bytes/sec"),
        ("interrupted-transfer", "fatal: the remote end hung up unexpectedly"),
        ("interrupted-transfer", "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)"),
        ("server", "fatal: unable to access 'https://h/': The requested URL returned error: 502"),
        ("server", "fatal: unable to access 'https://h/': The requested URL returned error: 429"),
        ("disk-full", "fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output"),
        ("disk-full", "error: file write error: No space left on device\nfatal: early EOF"),
        ("permission", "error: cannot open 'a': Permission denied"),
        ("permission", "fatal: could not create leading directories of 'x': Read-only file system"),
        ("corrupt", "error: packfile ./objects/pack/pack-1.pack does not match index"),
        ("corrupt", "error: object file .git/objects/aa/bb is empty\nfatal: loose object aabb is corrupt"),
        ("corrupt", "error: inflate: data stream error (incorrect header check)"),
        ("content", "remote: aborting due to possible repository corruption on the remote side.\nfatal: early EOF"),
        ("content", "fatal: git upload-pack: aborting due to possible repository corruption on the remote side."),
        ("refused", "fatal: transport 'ext' not allowed"),
        ("other", "fatal: something nobody has seen"),
        ("other", ""),
    ],
)
def test_kinds(kind: str, stderr: str) -> None:
    error = failed(stderr)
    assert error.kind == kind
    assert error.what.startswith("fetching x failed") and "\n" not in error.what and error.remedy
    assert error.exit_code == 4


def test_only_network_failures_are_worth_another_try() -> None:
    assert failed("fatal: early EOF").transient and failed("fatal: Could not resolve host: h").transient
    assert not failed("fatal: couldn't find remote ref x").transient
    assert not failed("error: No space left on device").transient and failed("error: No space left on device").local


def test_what_the_server_wrote_decides_nothing_about_this_machine() -> None:
    assert failed("remote: No space left on device\nfatal: couldn't find remote ref x").kind == "missing-ref"
    assert failed("fatal: remote error: No space left on device").kind == "other"
    assert failed("remote: transport 'ext' not allowed").kind == "other"


def test_a_time_out_is_a_deadline() -> None:
    assert failed("fatal: early EOF", timed_out=True).kind == "deadline"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "permission"),
        (errno.EACCES, "permission"),
        (errno.EIO, "other"),
    ],
)
def test_our_own_failures(number: int, kind: str) -> None:
    error = from_os_error(OSError(number, "words", "/a/b"), "copying")
    assert error.kind == kind and "/a/b" in error.what and error.remedy


def test_an_oserror_in_the_block_becomes_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="reading it failed"), os_errors("reading it"):
        (tmp_path / "nothing").read_text()


@pytest.mark.parametrize(
    ("secret", "says"), [(False, "asks for credentials"), (True, "did not accept the credentials")]
)
def test_credentials_that_were_sent_were_not_accepted(secret: bool, says: str) -> None:
    words = "fatal: could not read Username for 'https://host': terminal prompts disabled"
    assert says in classify(Completed(("git",), 128, "", words, False), "asking x", secret=secret).what
