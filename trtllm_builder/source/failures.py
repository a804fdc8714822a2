"""What went wrong, from git's own words or an OSError: one sentence, what to do next, and whether to try again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from trtllm_builder.errors import BuilderError, SourceError
from trtllm_builder.process import Completed
from trtllm_builder.source.failure_rules import (
    AGAIN,
    ASKS,
    CHECK_COMMIT,
    FREE_SPACE,
    OWNERS,
    REFUSES,
    RULES,
    Kind,
    Rule,
)
from trtllm_builder.text import clean, redact

_TRANSIENT = frozenset({"no-network", "interrupted-transfer", "server"})
_LOCAL = frozenset({"disk-full", "permission", "corrupt", "deadline"})
_DEFINITE = frozenset({"missing-ref", "missing-commit", "not-found", "credentials"})
_SERVERS_OWN = frozenset({"missing-commit", "not-found", "credentials", "server", "content"})


class TransportError(SourceError):
    """A SourceError that knows its kind, so that retries and the choice of another server can depend on it."""

    def __init__(self, kind: Kind, what: str, *, remedy: str = "", others: tuple[BuilderError, ...] = ()) -> None:
        super().__init__(what, remedy=remedy, others=others)
        self.kind = kind

    @property
    def transient(self) -> bool:
        """Worth another try on the same server."""
        return self.kind in _TRANSIENT

    @property
    def local(self) -> bool:
        """This machine's own trouble: no other server would help."""
        return self.kind in _LOCAL

    @property
    def definite(self) -> bool:
        """An answer rather than a failure to answer; from the original server it is the last word."""
        return self.kind in _DEFINITE


def classify(completed: Completed, doing: str, *, secret: bool = False) -> TransportError:
    """The error for a failed git. ``doing`` begins its sentence: "fetching main from https://...".

    With ``secret`` git had credentials to show. What the server wrote (``remote: ...``, ``remote error: ...``) can only
    mean failures of the server's: anyone can write "no space left" there.
    """
    if completed.timed_out:
        return TransportError("deadline", f"{doing} did not finish in the time it was given", remedy=AGAIN)
    lines = completed.stderr.splitlines()
    theirs = "\n".join(line for line in lines if _from_server(line))
    ours = "\n".join(line for line in lines if not _from_server(line))
    found = _match(ours, RULES)
    if found is None or found[0].kind == "interrupted-transfer":
        # That git was cut off is a symptom; the server may have said why.
        found = _match(theirs, tuple(rule for rule in RULES if rule.kind in _SERVERS_OWN)) or found
    if found:
        rule, words = found
        if secret and rule is ASKS:
            # git asks for others when the server turned down those that it had.
            rule = REFUSES
        return TransportError(rule.kind, f"{doing} failed: {rule.sentence} (git: {words})", remedy=rule.remedy)
    words = _line_at(f"{theirs}\n{ours}", 0) or f"exit status {completed.returncode}"
    return TransportError("other", f"{doing} failed (git: {words})", remedy=AGAIN)


def _from_server(line: str) -> bool:
    return line.startswith("remote:") or "remote error:" in line


def _match(text: str, rules: tuple[Rule, ...]) -> tuple[Rule, str] | None:
    for rule in rules:
        found = rule.pattern.search(text)
        if found:
            return rule, _line_at(text, found.start())
    return None


def _line_at(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    lines = (line.strip() for line in text[start:].splitlines())
    return next((line for line in lines if line), "")[:300]


def from_os_error(error: OSError, doing: str) -> TransportError:
    """The same for our own reading and writing."""
    reason = clean(redact(error.strerror or str(error)))
    name = f" ({clean(str(error.filename))})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransportError("disk-full", f"{doing} failed: the disk is full{name}", remedy=FREE_SPACE)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TransportError("permission", f"{doing} failed: {reason}{name}", remedy=OWNERS)
    return TransportError("other", f"{doing} failed: {reason}{name}", remedy="check the disk and the path")


@contextmanager
def os_errors(doing: str) -> Iterator[None]:
    """Turns an OSError of the block into a TransportError."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, doing) from error


def missing_commit(commit: str, where: str) -> TransportError:
    """A server that does not have what is pinned."""
    return TransportError("missing-commit", f"commit {commit} is not in {where}", remedy=CHECK_COMMIT)
