"""LFS objects from a server that speaks the batch API, and from a local repository's store."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.source.lfs import find_pointers
from trtllm_builder.source.model import Mirror, SourceWant

World = Server = Any  # conftest.py

pytestmark = pytest.mark.integration

BIG = os.urandom(700_000)


def with_objects(repository: Callable) -> tuple[Any, str]:
    upstream = repository("up")
    files = {".gitattributes": "*.a filter=lfs diff=lfs merge=lfs -text\n", "lib/big.a": upstream.lfs(BIG)}
    files |= {f"lib/{name}.a": upstream.lfs(name.encode() * 50) for name in "abc"}
    return upstream, upstream.commit(files)


def test_objects_replace_their_pointers_and_the_checkout_is_clean(
    world: World, repository: Callable, server: Server
) -> None:
    _, head = with_objects(repository)
    want = SourceWant(f"{server.url}/up/.git", "main", head)
    got = world.obtain(want)
    assert (got.path / "lib/big.a").read_bytes() == BIG and (got.path / "lib/b.a").read_bytes() == b"b" * 50
    assert ("lib/big.a", hashlib.sha256(BIG).hexdigest()) in got.lfs_objects and len(got.lfs_objects) == 4
    assert (f"{server.url}/up/.git (LFS)", "original") in got.served
    assert find_pointers(got.path) == () and not got.dirty
    kept = world.obtain(want)
    assert not kept.dirty and kept.digest == got.digest
    os.utime(got.path / "lib/big.a")
    assert not world.obtain(want).dirty
    (got.path / "lib/big.a").write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    assert world.obtain(want).modified == ("lib/big.a",)


def test_the_second_workspace_needs_no_server(world: World, repository: Callable, server: Server) -> None:
    upstream, head = with_objects(repository)
    want = SourceWant(f"{server.url}/up/.git", "main", head)
    world.obtain(want)
    shutil.rmtree(upstream.path)
    asked = len(server.requests)
    got = world.obtain(want, "b")
    assert len(server.requests) == asked and (got.path / "lib/big.a").read_bytes() == BIG
    assert got.digest == world.obtain(want).digest


def test_a_local_repository_serves_from_its_own_store(world: World, repository: Callable) -> None:
    upstream, head = with_objects(repository)
    assert (world.obtain(SourceWant(upstream.url, "main", head)).path / "lib/big.a").read_bytes() == BIG
    shutil.rmtree(upstream.path / ".git/lfs")
    shutil.rmtree(world.cache / "lfs")
    with pytest.raises(SourceError, match="has no LFS object for lib/"):
        world.obtain(SourceWant(upstream.url, "main", head), "b")


def test_without_lfs_the_pointers_stay_and_are_noted(world: World, repository: Callable) -> None:
    upstream, head = with_objects(repository)
    got = world.obtain(SourceWant(upstream.url, "main", head, lfs=False))
    assert len(find_pointers(got.path)) == 4 and any("4 files are only pointers" in note for note in got.notes)
    assert (world.obtain(SourceWant(upstream.url, "main", head)).path / "lib/big.a").read_bytes() == BIG


def test_a_broken_download_goes_on_where_it_stopped(world: World, repository: Callable, server: Server) -> None:
    _, head = with_objects(repository)
    oid = hashlib.sha256(BIG).hexdigest()
    server.faults = [(oid, "cut")]
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", head))
    assert (got.path / "lib/big.a").read_bytes() == BIG
    assert any(headers.get("Range") == f"bytes={len(BIG) // 2}-" for headers in server.headers)


def test_a_server_that_begins_again_is_followed(world: World, repository: Callable, server: Server) -> None:
    _, head = with_objects(repository)
    oid = hashlib.sha256(BIG).hexdigest()
    server.faults = [(oid, "cut"), (oid, "whole")]
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", head))
    assert (got.path / "lib/big.a").read_bytes() == BIG and server.faults == []


def test_content_that_is_not_the_object_is_never_kept(world: World, repository: Callable, server: Server) -> None:
    _, head = with_objects(repository)
    oid = hashlib.sha256(BIG).hexdigest()
    want = SourceWant(f"{server.url}/up/.git", "main", head)
    server.faults = [(oid, "lie")]
    with pytest.raises(SourceError, match=r"for lib/big\.a is not its LFS object"):
        world.obtain(want)
    assert not (world.work / "src").exists()
    assert (world.obtain(want).path / "lib/big.a").read_bytes() == BIG


def test_an_object_damaged_in_the_cache_is_fetched_anew(world: World, repository: Callable, server: Server) -> None:
    _, head = with_objects(repository)
    want = SourceWant(f"{server.url}/up/.git", "main", head)
    world.obtain(want)
    oid = hashlib.sha256(BIG).hexdigest()
    (kept,) = (world.cache / "lfs").rglob(oid)
    kept.chmod(0o600)
    kept.write_bytes(b"\0" * len(BIG))
    assert (world.obtain(want, "b").path / "lib/big.a").read_bytes() == BIG


def test_a_mirrors_own_lfs_server_and_one_that_lacks_an_object(
    world: World, repository: Callable, server: Server
) -> None:
    _, head = with_objects(repository)
    empty = repository("empty")
    empty.commit({"a": "1"})
    url = f"{server.url}/up/.git"
    bare = Mirror("bare", ((url, url),), lfs=f"{server.url}/empty/.git/info/lfs")
    full = Mirror("full", ((url, url),), lfs=f"{server.url}/{{path}}.git/info/lfs")
    got = world.obtain(SourceWant(url, "main", head, (bare, full)))
    served = dict(got.served)
    assert served[url] == "bare" and served[f"{url} (LFS)"] in ("full", "original")
    assert any("no such object" in line for line in world.lines) and not any("\x1b" in line for line in world.lines)


def test_credentials_go_to_the_lfs_server_of_the_same_host(world: World, repository: Callable, server: Server) -> None:
    _, head = with_objects(repository)
    server.password = "someone:s3cr3t"
    got = world.obtain(SourceWant(server.url.replace("://", "://someone:s3cr3t@") + "/up/.git", "main", head))
    assert (got.path / "lib/big.a").read_bytes() == BIG and "s3cr3t" not in repr(got) + str(world.lines)


def test_credentials_do_not_go_to_another_host_that_holds_the_objects(
    world: World, repository: Callable, server: Server
) -> None:
    _, head = with_objects(repository)
    server.password = "someone:s3cr3t"
    server.objects_at = server.url.replace("127.0.0.1", "localhost")
    world.obtain(SourceWant(server.url.replace("://", "://someone:s3cr3t@") + "/up/.git", "main", head))
    asked = zip(server.requests, server.headers, strict=True)
    sent = {"Authorization" in headers for line, headers in asked if "/lfs-object/" in line}
    assert sent == {False}


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_git_lfs_itself_gets_the_same_from_our_test_server(
    world: World, repository: Callable, server: Server, tmp_path: Any
) -> None:
    """So that the server in conftest.py, and with it our client, speaks the protocol and not a dialect of ours."""
    _, head = with_objects(repository)
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", head))
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "h"), "GIT_CONFIG_NOSYSTEM": "1"}
    (tmp_path / "h").mkdir()
    clone = tmp_path / "clone"
    for words in (["lfs", "install"], ["clone", "-q", f"{server.url}/up/.git", str(clone)]):
        subprocess.run(["git", *words], env=environ, check=True, capture_output=True, cwd=tmp_path)
    assert {path.name: path.read_bytes() for path in (clone / "lib").iterdir()} == {
        path.name: path.read_bytes() for path in (got.path / "lib").iterdir()
    }
