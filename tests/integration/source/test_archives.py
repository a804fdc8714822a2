"""Archives that CMake would download: from the first server that has them whole, and once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.source.archives import obtain_archive
from trtllm_builder.source.git import find_git
from trtllm_builder.source.model import Mirror
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.web import Client

Server = Any  # conftest.py

pytestmark = pytest.mark.integration

URL = "https://upstream.invalid/a/one/archive/c0ffee.tar.gz"


def servers(tmp_path: Path, *bases: str, offline: bool = False) -> Servers:
    mirrors = tuple(Mirror(base, (("https://upstream.invalid/", base),)) for base in bases)
    git = find_git({"PATH": "/usr/local/bin:/usr/bin:/bin"})
    return Servers(git, tmp_path / "cache", mirrors, time.monotonic() + 30, print, offline, rounds=1)


def test_the_first_server_that_gives_it_whole(tmp_path: Path, server: Server, repository: Any) -> None:
    """git's http-backend gives plain files of a repository too, which is all that is asked of a server here."""
    where = repository("up")
    where.commit({"a": "1"})
    url = "https://upstream.invalid/up/.git/HEAD"
    client = Client.of({})
    got = obtain_archive(url, servers(tmp_path, "http://127.0.0.1:9/", f"{server.url}/"), client)
    assert got.read_bytes() == b"ref: refs/heads/main\n"
    assert [path.name for path in got.parent.iterdir()] == [got.name]
    # From the cache: nobody is asked.
    asked = len(server.requests)
    assert obtain_archive(url, servers(tmp_path), client) == got and len(server.requests) == asked


def test_what_nobody_has_leaves_nothing(tmp_path: Path, server: Server) -> None:
    with pytest.raises(SourceError):
        obtain_archive(URL, servers(tmp_path, f"{server.url}/"), Client.of({}))
    assert not list((tmp_path / "cache" / "archives").glob("*"))
