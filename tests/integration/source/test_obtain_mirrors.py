"""Mirrors: their order, who is named, and whose word counts."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trtllm_builder.errors import SourceError
from trtllm_builder.source import servers
from trtllm_builder.source.model import Mirror, SourceWant

World = Server = Any  # conftest.py

pytestmark = pytest.mark.integration


def test_a_mirror_serves_and_is_named(world: World, repository: Callable, server: Server) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1"})
    url = "https://upstream.invalid/up/.git"
    mirrors = (
        Mirror("dead", (("https://upstream.invalid/", "http://127.0.0.1:9/"),)),
        Mirror("elsewhere", (("https://other.invalid/", "http://127.0.0.1:9/"),)),
        Mirror("near", (("https://upstream.invalid/", f"{server.url}/"),)),
    )
    got = world.obtain(SourceWant(url, "main", head, mirrors))
    assert (got.served_by, got.url, got.pinned) == ("near", url, True)
    assert got.served == ((url, "near"),)
    assert any("dead" in line for line in world.lines) and not any("elsewhere" in line for line in world.lines)


def test_an_unpinned_ref_through_a_mirror_is_a_warning(world: World, repository: Callable, server: Server) -> None:
    repository("up").commit({"a": "1"})
    mirror = Mirror("near", (("https://upstream.invalid/", f"{server.url}/"),))
    got = world.obtain(SourceWant("https://upstream.invalid/up/.git", "main", None, (mirror,)))
    assert got.served_by == "near" and not got.pinned
    assert any("not pinned and was resolved by near" in note for note in got.notes)


def test_a_stale_mirror_is_passed_over_for_the_original(world: World, repository: Callable, server: Server) -> None:
    upstream, stale = repository("up"), repository("stale")
    stale.commit({"a": "0"})
    head = upstream.commit({"a": "1"})
    mirror = Mirror("stale", ((f"{server.url}/up", f"{server.url}/stale"),))
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", head, (mirror,)))
    assert got.served_by == "original" and (got.path / "a").read_text() == "1"


def test_the_profile_may_put_the_original_first(world: World, repository: Callable, server: Server) -> None:
    head = repository("up").commit({"a": "1"})
    mirrors = (Mirror("direct"), Mirror("near", ((f"{server.url}/", "http://127.0.0.1:9/"),)))
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", head, mirrors))
    assert got.served_by == "original" and not any("near" in line for line in world.lines)


def test_the_originals_word_is_the_last(world: World, server: Server) -> None:
    mirrors = (Mirror("direct"), Mirror("other", ((f"{server.url}/", f"{server.url}/more/"),)))
    with pytest.raises(SourceError, match="no repository was found"):
        world.obtain(SourceWant(f"{server.url}/nothing", "main", None, mirrors))
    assert not any("/more/" in line for line in server.requests)


def test_when_all_fail_the_original_has_the_word_and_the_others_are_listed(world: World, server: Server) -> None:
    mirror = Mirror("dead", ((f"{server.url}/", "http://127.0.0.1:9/"),))
    with pytest.raises(SourceError, match="no repository was found") as caught:
        world.obtain(SourceWant(f"{server.url}/nothing", "main", None, (mirror,)))
    assert [other.what for other in caught.value.others if "cannot be reached" in str(other)]


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_a_mirror_that_hangs_is_passed_over_soon(
    world: World, repository: Callable, server: Server, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "ANSWER_WITHIN", 1.0)
    head = repository("up").commit({"a": "1"})
    mirrors = (
        Mirror("hanging", (("https://upstream.invalid/", silent),)),
        Mirror("near", (("https://upstream.invalid/", f"{server.url}/"),)),
    )
    began = time.monotonic()
    got = world.obtain(SourceWant("https://upstream.invalid/up/.git", "main", head, mirrors))
    assert got.served_by == "near" and time.monotonic() - began < 15
    assert any("did not answer within 1 s" in line for line in world.lines)


def test_a_mirror_that_lies_cannot_change_a_pinned_commit(world: World, repository: Callable, server: Server) -> None:
    """It has the name, with other content; the objects that it gives cannot have the pinned hash."""
    upstream, lying = repository("up"), repository("lying")
    head = upstream.commit({"a": "good"})
    other = lying.commit({"a": "bad"})
    objects = lying.path / ".git" / "objects"
    fake = objects / head[:2] / head[2:]
    fake.parent.mkdir(exist_ok=True)
    shutil.copyfile(objects / other[:2] / other[2:], fake)
    (lying.path / ".git" / "refs" / "heads" / "main").write_text(head + "\n")
    mirror = Mirror("lying", (("https://upstream.invalid/up/", f"{server.url}/lying/"),))
    near = Mirror("near", (("https://upstream.invalid/", f"{server.url}/"),))
    got = world.obtain(SourceWant("https://upstream.invalid/up/.git", "main", head, (mirror, near)))
    assert got.served_by == "near" and got.commit == head
    assert (got.path / "a").read_text() == "good"
