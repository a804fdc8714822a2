"""All builds that were ever reported: ``history.jsonl`` in the index's directory, a result (result.py) a line.

A line is added under a lock, in one write and flushed to disk; what a crash left of a line is closed by the next one
and passed over by readers.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from trtllm_builder.ci.result import Result, from_json
from trtllm_builder.ci.web import Unreachable, fetch
from trtllm_builder.errors import HostError, SourceError, UsageError
from trtllm_builder.index.opening import LOCK, make_index
from trtllm_builder.text import redact

NAME = "history.jsonl"
# Ten profiles a night are some 4 MB a year.
_LARGEST = 256 * 2**20


@dataclass(frozen=True)
class History:
    """``results``, the oldest first; ``damaged`` lines were no results."""

    results: tuple[Result, ...]
    damaged: int

    def profiles(self) -> dict[str, list[Result]]:
        """The results of each profile, by name."""
        found: dict[str, list[Result]] = {}
        for one in self.results:
            found.setdefault(one.profile, []).append(one)
        return dict(sorted(found.items()))


def append(directory: Path, results: Iterable[Result]) -> int:
    """Add what is not there yet (a job that was run again reports the same) and return how many that were. An index
    that is not there yet is made: of a first night nothing may be good. Raises UsageError for what is no directory,
    PublishError when none can be made, HostError when it cannot be written."""
    # One that is empty too: with a history alone in it, no publisher would take it for an index.
    if ":/" not in str(directory) and (not directory.exists() or _is_empty(directory)):
        make_index(directory)
    if not directory.is_dir():
        raise UsageError(
            f"the index {directory} is no directory",
            remedy="a history is kept beside the wheels of an index in a directory: name that",
        )
    path = directory / NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            known = {_identity(one) for one in _parse(path.read_bytes()).results}
            lines = b""
            added = 0
            for one in results:
                if _identity(one) not in known:
                    known.add(_identity(one))
                    lines += json.dumps(one.to_json()).encode() + b"\n"
                    added += 1
            size = os.fstat(handle).st_size
            if lines and size and os.pread(handle, 1, size - 1) != b"\n":
                lines = b"\n" + lines
            while lines:
                lines = lines[os.write(handle, lines) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise HostError(
            f"the history {path} cannot be written: {error.strerror or error}", remedy="make it writable, and try again"
        ) from error
    return added


def _is_empty(directory: Path) -> bool:
    # Somebody who makes an index in it begins with its lock.
    with suppress(OSError):
        return {path.name for path in directory.iterdir()} <= {LOCK}
    return False


def read(location: str) -> History:
    """The history of an index, a directory or a URL; empty when it has none yet. Raises SourceError for a server that
    does not answer, UsageError for what is no index."""
    if "://" in location:
        try:
            return _parse(fetch(f"{location.rstrip('/')}/{NAME}", most=_LARGEST))
        except Unreachable as error:
            raise SourceError(
                f"the history was not obtained: {error}",
                remedy="is it an index, and was anything reported to it?",
            ) from None
    if not location.strip():
        raise UsageError("--index is empty", remedy="name a directory, or the URL of an index")
    directory = Path(location).expanduser()
    if not directory.is_dir():
        raise UsageError(f"{redact(location)} is neither a directory nor a URL", remedy="name an index with --index")
    try:
        with (directory / NAME).open("rb") as stream:
            return _parse(stream.read(_LARGEST))
    except FileNotFoundError:
        return History((), 0)
    except OSError as error:
        raise HostError(f"{directory / NAME} cannot be read: {error.strerror or error}") from error


def selected(history: History, profiles: Sequence[str], most: int) -> History:
    """The last ``most`` results of each profile whose name fits one of the patterns (fnmatch); all fit none."""
    kept: list[Result] = []
    for name, results in history.profiles().items():
        if not profiles or any(fnmatchcase(name, pattern) for pattern in profiles):
            kept += results[-most:]
    return History(tuple(sorted(kept, key=lambda one: one.started)), history.damaged)


def _identity(result: Result) -> tuple[object, ...]:
    return (result.profile, result.run, round(result.started, 3), result.result)


def _parse(data: bytes) -> History:
    results: list[Result] = []
    damaged = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            results.append(from_json(json.loads(line)))
        except (ValueError, RecursionError):
            damaged += 1
    return History(tuple(sorted(results, key=lambda one: one.started)), damaged)
