"""What was built from a lock, asked of an index: a directory, or the URL of one that a web server shows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from trtllm_builder.errors import PublishError, UsageError
from trtllm_builder.index.model import is_safe_name
from trtllm_builder.text import redact

_ANSWER_WITHIN = 20.0  # seconds
_LIMIT = 1 << 20  # bytes of an answer
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"files/[a-z0-9-]+/[0-9a-f]{16}/[^/]+")


@dataclass(frozen=True)
class Published:
    """A wheel of an index. ``location`` is its file's path or URL; ``size`` is bytes."""

    name: str
    sha256: str
    size: int
    location: str


def is_url(location: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", location) is not None


def find_by_lock(location: str | Path, digest: str) -> Published | None:
    """The wheel that was built from the lock with this sha256, or None; a yanked one is never found.

    ``location``: an index's directory or URL. Its word is not to be trusted further than that the file there has
    ``sha256``. Raises PublishError when the index does not answer, or not sensibly; UsageError for another scheme.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no sha256")
    base = str(location).rstrip("/")
    path = f"locks/{digest}.json"
    answer = _ask(f"{base}/{path}") if is_url(base) else _look(Path(base) / path)
    if answer is None:
        return None
    try:
        return _published(json.loads(answer), base)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PublishError(
            f"{redact(base)}/{path} is not what an index of ours says of a lock",
            remedy="see what that server answers, or leave the index out",
        ) from error


def _published(document: Mapping[str, Any], base: str) -> Published:
    name, sha256, path = str(document["wheel"]), str(document["sha256"]), str(document["path"])
    if not is_safe_name(name) or not _DIGEST.fullmatch(sha256) or not _PATH.fullmatch(path):
        raise ValueError("it leads elsewhere")
    where = f"{base}/{quote(path)}" if is_url(base) else str(Path(base) / path)
    return Published(name, sha256, int(document["size"]), where)


def _look(path: Path) -> bytes | None:
    try:
        with path.open("rb") as handle:
            return handle.read(_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PublishError(f"{path} cannot be read: {error.strerror}", remedy="see to that disk") from error


def _ask(url: str) -> bytes | None:
    if not url.lower().startswith(("http://", "https://")):
        raise UsageError(
            f"{redact(url)} is no URL that an index has", remedy="name a directory, or an http or https URL"
        )
    try:
        with urlopen(Request(url, headers={"Accept": "application/json"}), timeout=_ANSWER_WITHIN) as reply:  # noqa: S310
            body: bytes = reply.read(_LIMIT)
            return body
    except HTTPError as error:
        if error.code in (404, 410):
            return None
        raise _silent(url, f"it answers {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _silent(url, str(getattr(error, "reason", "") or error) or type(error).__name__) from error


def _silent(url: str, why: str) -> PublishError:
    return PublishError(redact(f"{url} could not be asked: {why}"), remedy="check the network, or leave the index out")
