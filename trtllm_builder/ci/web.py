"""Requests that CI helpers make: bounded in time and size, tried again, and never a credential in what is told."""

from __future__ import annotations

import base64
import http.client
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from trtllm_builder.text import redact

_TIMEOUT = 10.0
_TRIES = 3
_BLOCK = 2**16
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unreachable(Exception):
    """A server that did not answer as it should; the text has no credentials in it."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """What is sent goes to the named server and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


def fetch(
    url: str, *, body: bytes | None = None, most: int = 2**20, within: float = 300.0, pause: float = 1.0
) -> bytes:
    """GET, or POST of ``body`` as JSON; the answer's first ``most`` bytes must be all, and all there ``within`` so many
    seconds, however steadily it comes. ``pause`` in seconds before the second try. Proxies and CA files are those of
    the environment. Raises Unreachable."""
    retrying = Retrying(
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential(multiplier=pause, max=10.0),
        retry=retry_if_exception(_worth_it),
        reraise=True,
    )
    try:
        return retrying(_once, _request(url, body), most, within)
    except urllib.error.HTTPError as error:
        raise Unreachable(f"{redact(url)} answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unreachable(redact(f"{url}: {why}")) from None


def _worth_it(error: BaseException) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _AGAIN
    return isinstance(error, (OSError, http.client.HTTPException))


def _once(request: urllib.request.Request, most: int, within: float) -> bytes:
    opener = urllib.request.build_opener(_Stay())
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            data = _read(answer, most, within)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    if len(data) > most:
        raise ValueError(f"the answer is larger than {most} bytes")
    return data


def _read(answer: Any, most: int, within: float) -> bytes:
    """At most one byte more than ``most``."""
    data, end = bytearray(), time.monotonic() + within
    while len(data) <= most and (more := answer.read1(min(_BLOCK, most + 1 - len(data)))):
        data += more
        if time.monotonic() > end:
            raise TimeoutError("timed out")
    return bytes(data)


def _request(url: str, body: bytes | None) -> urllib.request.Request:
    """A user and password in the URL go as a header: urllib would take them for a part of the host's name."""
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unreachable(f"this is no URL: {redact(url)} ({error})") from None
    if parts.scheme not in ("http", "https") or not host or any(ord(letter) <= 32 for letter in url):
        raise Unreachable(f"this is no http or https URL: {redact(url)}")
    place = f"[{host}]" if ":" in host else host
    bare = urlunsplit(parts._replace(netloc=place if port is None else f"{place}:{port}", fragment=""))
    request = urllib.request.Request(bare, data=body, method="GET" if body is None else "POST")  # noqa: S310 - see above
    request.add_header("User-Agent", "trtllm-builder")
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if user is not None:
        token = base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request
