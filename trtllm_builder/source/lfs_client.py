"""Fetching LFS objects: the batch API with the basic transfer, or a local repository's own store.

Our own small client because rented machines seldom have git-lfs and often no way to install it; the protocol is
https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md and basic-transfers.md. sha256 decides what is kept.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trtllm_builder.source.copying import copy_file
from trtllm_builder.source.failure_rules import AGAIN
from trtllm_builder.source.failures import TransportError, from_os_error, os_errors
from trtllm_builder.source.git import basic
from trtllm_builder.source.lfs import Pointer, Store
from trtllm_builder.source.lock import locked
from trtllm_builder.source.servers import Server, Servers
from trtllm_builder.source.urls import Url, parse_url
from trtllm_builder.source.watch import watched
from trtllm_builder.source.web import Answer, Client
from trtllm_builder.text import clean
from trtllm_builder.units import format_size

_MEDIA = "application/vnd.git-lfs+json"
_AT_ONCE = 100
_THREADS = 4
_BLOCK = 1 << 18


def fetch_objects(pointers: Sequence[Pointer], url: Url, store: Store, servers: Servers, client: Client) -> str:
    """Has all objects in ``store`` and returns who served them (``cache`` when none was missing).

    Raises TransportError; what arrived before stays, and a broken transfer goes on where it stopped.
    """
    missing = store.missing(pointers)
    if not missing:
        return "cache"
    size = format_size(sum(pointer.size for pointer in missing))
    what = f"{len(missing)} LFS object{'s' if len(missing) > 1 else ''} ({size})"
    if servers.offline:
        raise TransportError(
            "content", f"{what} are not in the cache, and this run is offline", remedy="run once online"
        )

    def fetch(server: Server) -> str:
        wanted = store.missing(pointers)
        if server.url.scheme == "file":
            _from_directory(wanted, server.url, store)
        else:
            endpoint = lfs_endpoint(server)
            for start in range(0, len(wanted), _AT_ONCE):
                _fetch_batch(wanted[start : start + _AT_ONCE], endpoint, store, servers, client)
        return server.name

    # Two that append to one unfinished file would spoil it for both.
    with os_errors("opening the LFS cache"):
        store.root.mkdir(parents=True, exist_ok=True)
    with (
        locked(store.root / "lfs.lock", end=servers.end, log=servers.log),
        watched(store.root, "*/*/*.partial", f"fetching {what}, unfinished", servers.log),
    ):
        return servers.first(url, fetch, what)


def lfs_endpoint(server: Server) -> Url:
    """The LFS server's URL (docs/api/server-discovery.md); for ssh, the https one of the same host."""
    template = server.mirror.lfs if server.mirror else None
    if template:
        return parse_url(template.replace("{path}", server.url.path))
    text = server.url.text.rstrip("/")
    if server.url.scheme == "ssh":
        host = urlsplit(text).hostname if "://" in text else text.partition(":")[0].rpartition("@")[2]
        text = f"https://{host}/{server.url.path}"
    text = text if text.endswith(".git") else f"{text}.git"
    return Url(f"{text}/info/lfs", urlsplit(text).scheme, server.url.secret)


def _from_directory(wanted: Sequence[Pointer], url: Url, store: Store) -> None:
    root = Path(url.local_path)
    homes = [root / ".git" / "lfs" / "objects", root / "lfs" / "objects"]
    for pointer in wanted:
        own = [home / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid for home in homes]
        found = next((path for path in own if path.is_file()), None)
        if not found:
            what = f"{url.shown} has no LFS object for {clean(pointer.path)}"
            raise TransportError("not-found", what, remedy="run git lfs fetch --all there, or use the original URL")
        with os_errors(f"copying the LFS object of {clean(pointer.path)}"):
            copy_file(found, _arriving(store, pointer), mode=0o600)
            store.keep(pointer, _arriving(store, pointer))


def _arriving(store: Store, pointer: Pointer) -> Path:
    path = store.path(pointer.oid).with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@dataclass(frozen=True)
class _Download:
    pointer: Pointer
    href: str
    headers: dict[str, str]


def _fetch_batch(wanted: Sequence[Pointer], endpoint: Url, store: Store, servers: Servers, client: Client) -> None:
    headers = {"Accept": _MEDIA, "Content-Type": _MEDIA}
    if endpoint.secret:
        headers["Authorization"] = basic(endpoint.secret)
    question = {
        "operation": "download",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": pointer.oid, "size": pointer.size} for pointer in wanted],
    }
    answer = client.ask(f"{endpoint.text}/objects/batch", headers, question)
    downloads = list(_read_answer(answer, wanted, endpoint, headers.get("Authorization")))
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        try:
            running = [pool.submit(_download, one, store, servers, client, stop.is_set) for one in downloads]
            for future in running:
                future.result()
        except BaseException:
            # Workers look at this between blocks, so an interrupt does not wait for whole files.
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _read_answer(answer: object, wanted: Sequence[Pointer], endpoint: Url, own: str | None) -> Iterator[_Download]:
    listed = answer.get("objects") if isinstance(answer, dict) else None
    given = {entry.get("oid"): entry for entry in listed or () if isinstance(entry, dict)}
    for pointer in wanted:
        entry = given.get(pointer.oid, {})
        error, actions = entry.get("error"), entry.get("actions")
        action = actions.get("download") if isinstance(actions, dict) else None
        href = action.get("href") if isinstance(action, dict) else None
        if not isinstance(href, str):
            why = clean(str(error.get("message", "")))[:200] if isinstance(error, dict) else "it names no way to get it"
            what = f"{endpoint.shown} does not give the LFS object of {clean(pointer.path)}: {why}"
            raise TransportError(
                "not-found", what, remedy="check the LFS server, or name a mirror that has the objects"
            )
        extra = action.get("header") if isinstance(action, dict) else None
        headers = {str(key): str(value) for key, value in extra.items()} if isinstance(extra, dict) else {}
        if any("\n" in text or "\r" in text for pair in headers.items() for text in pair):
            raise TransportError(
                "server", f"{endpoint.shown} answered with unsafe headers", remedy="check the LFS server"
            )
        same = urlsplit(href)[:2] == urlsplit(endpoint.text)[:2]
        if own and same and not entry.get("authenticated"):
            headers.setdefault("Authorization", own)
        yield _Download(pointer, href, headers)


def _download(one: _Download, store: Store, servers: Servers, client: Client, stopped: Callable[[], bool]) -> None:
    pointer, path = one.pointer, _arriving(store, one.pointer)
    doing = f"fetching the LFS object of {clean(pointer.path)}"
    have = path.stat().st_size if path.exists() else 0
    if have > pointer.size:
        path.unlink()
        have = 0
    headers = {**one.headers, "Range": f"bytes={have}-"} if have else one.headers
    if have < pointer.size or not have:
        with client.open(one.href, headers) as answer:
            goes_on = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-")
            try:
                stream = path.open("ab" if have and goes_on else "wb")
            except OSError as error:
                raise from_os_error(error, doing) from error
            with stream:
                for block in _blocks(answer, doing):
                    if stopped():
                        return
                    if servers.left <= 0:
                        raise TransportError(
                            "deadline", f"{doing} did not finish in the time it was given", remedy=AGAIN
                        )
                    with os_errors(doing):
                        stream.write(block)
                        if stream.tell() > pointer.size:
                            break
    if path.stat().st_size < pointer.size:
        raise TransportError("interrupted-transfer", f"{doing} broke off", remedy=AGAIN)
    with os_errors(doing):
        store.keep(pointer, path)


def _blocks(answer: Answer, doing: str) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise TransportError("interrupted-transfer", f"{doing} broke off: {error}", remedy=AGAIN) from error
        if not block:
            return
        yield block
