"""Which of the servers that a build asks can be reached at all. A connection is opened and closed; nothing is sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from trtllm_builder.doctor.facts import Reach

_LIMIT = 1.8  # seconds for all of one round
_PORTS = {"https": 443, "http": 80, "ssh": 22}


def ask_network(urls: Sequence[str], mirrors: Sequence[str], environ: Mapping[str, str]) -> tuple[Reach, ...]:
    """``urls``, and ``mirrors`` when the first URL does not answer; through a proxy, the proxy instead."""
    proxy = next((environ[name] for name in ("https_proxy", "HTTPS_PROXY", "all_proxy") if environ.get(name)), None)
    if proxy:
        return _round([("proxy", proxy if "://" in proxy else f"http://{proxy}")])
    first = _round([("source" if index == 0 else "index", url) for index, url in enumerate(urls)])
    if not mirrors or (first and first[0].seconds is not None):
        return first
    return (*first, *_round([("mirror", url) for url in mirrors]))


def _round(wanted: Sequence[tuple[str, str]]) -> tuple[Reach, ...]:
    """All at once. Name servers have no deadline, hence threads that may be left behind."""
    found: dict[int, Reach] = {}
    until = time.monotonic() + _LIMIT

    def ask(index: int, what: str, url: str) -> None:
        found[index] = _connect(what, url)

    threads = [
        threading.Thread(target=ask, args=(index, what, url), daemon=True) for index, (what, url) in enumerate(wanted)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    late = f"no answer within {_LIMIT:g} s"
    return tuple(found.get(index, Reach(what, _host(url), None, late)) for index, (what, url) in enumerate(wanted))


def _host(url: str) -> str:
    """The name alone: a URL may carry credentials."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _connect(what: str, url: str) -> Reach:
    host, began = _host(url), time.monotonic()
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 443)
        socket.create_connection((host, port), timeout=_LIMIT).close()
    except (OSError, ValueError) as error:
        return Reach(what, host, None, getattr(error, "strerror", None) or str(error))
    return Reach(what, host, round(time.monotonic() - began, 3))
