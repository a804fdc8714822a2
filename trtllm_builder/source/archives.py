"""Archives that CMake would download (FetchContent with URL), fetched once into the source cache."""

from __future__ import annotations

import hashlib
import http.client
import os
from pathlib import Path
from typing import IO

from trtllm_builder.source.failure_rules import AGAIN
from trtllm_builder.source.failures import TransportError, os_errors
from trtllm_builder.source.servers import Server, Servers
from trtllm_builder.source.urls import parse_url
from trtllm_builder.source.web import Answer, Client

_BLOCK = 1 << 18


def archive_name(url: str) -> str:
    """A file name for what lies at ``url``."""
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar.gz"


def obtain_archive(url: str, servers: Servers, client: Client) -> Path:
    """The file, from the cache or the first server that gives it. No hash is known beforehand, so whoever serves it is
    trusted, as CMake would trust it. Raises SourceError."""
    place = servers.cache / "archives" / archive_name(url)
    if place.is_file():
        return place

    def fetch(server: Server) -> Path:
        doing = f"fetching {server.url.shown}"
        with os_errors(doing):
            place.parent.mkdir(parents=True, exist_ok=True)
        arriving = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            with client.open(server.url.text, {}) as answer, os_errors(doing), arriving.open("wb") as stream:
                _receive(answer, stream, doing)
            arriving.replace(place)
        finally:
            arriving.unlink(missing_ok=True)
        return place

    return servers.first(parse_url(url), fetch, "the archive")


def _receive(answer: Answer, stream: IO[bytes], doing: str) -> None:
    length = answer.headers.get("Content-Length", "")
    try:
        while block := answer.read(_BLOCK):
            stream.write(block)
    except http.client.HTTPException as error:
        raise TransportError("interrupted-transfer", f"{doing} broke off: {error}", remedy=AGAIN) from error
    if length.isdecimal() and int(length) != stream.tell():
        raise TransportError("interrupted-transfer", f"{doing} broke off", remedy=AGAIN)
