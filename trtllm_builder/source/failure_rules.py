"""How git words its failures (LC_ALL=C; run with 2.39, other wordings from public reports), and ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "missing-ref",
    "missing-commit",
    "not-found",
    "credentials",
    "no-network",
    "interrupted-transfer",
    "server",
    "tls",
    "deadline",
    "disk-full",
    "permission",
    "corrupt",
    "refused",
    "no-sha-fetch",
    "content",
    "other",
]

AGAIN = "run the same command again; what already arrived is kept"
FREE_SPACE = "free space or choose another --workspace, then run the same command again"
OWNERS = "check the owner and mode of the workspace and the cache"
CHECK_COMMIT = "check the commit, or whether it lies in a fork"
_NETWORK = "check the network, the host name and the proxy variables, or name a mirror in the profile"


@dataclass(frozen=True)
class Rule:
    """``pattern`` in git's stderr means ``kind``."""

    kind: Kind
    pattern: re.Pattern[str]
    sentence: str
    remedy: str


def _rule(kind: Kind, *phrases: str, says: str, remedy: str) -> Rule:
    return Rule(kind, re.compile("|".join(phrases), re.IGNORECASE), says, remedy)


ASKS = _rule(
    "credentials",
    r"could not read (?:username|password)",
    says="the server asks for credentials: the repository is private, or it does not exist",
    remedy="check the URL; for a private one give https://USER:TOKEN@... (kept out of logs and records) or ssh",
)
REFUSES = _rule(
    "credentials",
    r"authentication failed",
    r"returned error: 40[13]",
    r"access denied",
    r"invalid credentials",
    r"permission denied \((?:[\w-]+,?)+\)",
    says="the server did not accept the credentials",
    remedy="check the token or key, and that it may read this repository",
)

# The first match counts: a full disk also makes git say that an index is corrupt and that the remote hung up.
RULES = (
    _rule(
        "disk-full",
        r"no space left on device",
        r"disk quota exceeded",
        says="the disk is full",
        remedy=FREE_SPACE,
    ),
    _rule(
        "tls",
        r"certificate (?:problem|verif|has expired|signed)",
        r"server certificate ",
        r"\bSSL\b.* problem",
        r"unable to get (?:local )?issuer",
        r"TLS.*alert",
        r"SSL routines.*(?:wrong version|unknown protocol)",
        says="no trusted TLS connection to the server could be made",
        remedy="check the clock and the CA bundle (SSL_CERT_FILE or GIT_SSL_CAINFO name another one)",
    ),
    ASKS,
    REFUSES,
    _rule(
        "credentials",
        r"host key verification failed",
        says="the ssh server's host key is not known here",
        remedy="connect once by hand with ssh and compare the key's fingerprint",
    ),
    _rule(
        "no-network",
        r"could not resolve (?:host|proxy)",
        r"name or service not known",
        r"temporary failure in name resolution",
        r"no address associated",
        says="the server's name cannot be resolved: there is no network, or no such host",
        remedy=_NETWORK,
    ),
    _rule(
        "no-network",
        r"failed to connect",
        r"couldn't connect",
        r"connection refused",
        r"connection timed out",
        r"network is unreachable",
        r"no route to host",
        r"resolving timed out",
        r"proxy connect aborted",
        r"received http code \d+ from proxy",
        says="the server cannot be reached",
        remedy=_NETWORK,
    ),
    _rule(
        "missing-ref",
        r"couldn't find remote ref",
        says="the server has no such branch or tag",
        remedy="list what exists with: git ls-remote URL",
    ),
    _rule(
        "no-sha-fetch",
        r"does not allow request for unadvertised object",
        says="the server gives no commit by its id",
        remedy="give the branch or tag that holds the commit as ref",
    ),
    _rule(
        "missing-commit",
        r"not our ref",
        says="the server does not have this commit",
        remedy=CHECK_COMMIT,
    ),
    _rule(
        "not-found",
        r"repository (?:.* )?not found",
        r"does not appear to be a git repository",
        r"not found: did you run git update-server-info",
        r"returned error: 404",
        r"not a git repository",
        r"not valid: is this a git repository",
        r"repository .* does not exist",
        says="no repository was found there",
        remedy="check the URL",
    ),
    _rule(
        "refused",
        r"transport '.*' not allowed",
        r"dubious ownership",
        r"protocol .* (?:not supported|disabled)",
        says="git refused this transport",
        remedy="use an https://, ssh:// or file:/// URL",
    ),
    _rule(
        "server",
        r"returned error: (?:429|5\d\d)",
        says="the server answered with an error of its own",
        remedy="wait a little, or name a mirror in the profile",
    ),
    _rule(
        "content",
        r"repository corruption on the remote side",
        says="the server's own repository is damaged or incomplete",
        remedy="name another mirror in the profile, or the original",
    ),
    _rule(
        "interrupted-transfer",
        r"early eof",
        r"hung up unexpectedly",
        r"operation too slow",
        r"operation timed out",
        r"RPC failed",
        r"unexpected disconnect",
        r"connection (?:reset|was reset|closed)",
        r"transfer closed",
        r"recv (?:error|failure)",
        r"SSL_(?:read|ERROR_SYSCALL)",
        r"HTTP/2 stream",
        r"empty reply",
        r"kex_exchange_identification",
        says="the transfer broke off",
        remedy=AGAIN,
    ),
    _rule(
        "corrupt",
        r"is corrupt",
        r"object file .* is empty",
        r"bad object",
        r"does not match index",
        r"(?:packfile|index file|pack|file) .* (?:cannot be|is too small|is far too short)",
        r"unable to (?:read|find) (?:tree |sha1 file |object |[0-9a-f]{40})",
        r"missing (?:blob|tree|commit)",
        r"inflate: ",
        r"invalid sha1 pointer",
        r"did not send all necessary objects",
        r"could not (?:parse|read) [0-9a-f]{40}",
        r"failed to (?:read|unpack) (?:object|tree)",
        r"non-monotonic index",
        r"wrong index v",
        r"not a valid object",
        r"nonexistent object",
        says="the source cache is damaged",
        remedy="remove the cache's directory and run this again",
    ),
    _rule(
        "permission",
        r"permission denied",
        r"read-only file system",
        r"operation not permitted",
        says="a file or directory may not be read or written",
        remedy=OWNERS,
    ),
)
