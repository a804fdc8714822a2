"""What is remembered of a cache's server, and where its password goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trtllm_builder.build.cache_log import CacheLog, note_begin
from trtllm_builder.build.remote_cache import Server, note_use, read_use, with_password
from trtllm_builder.errors import HostError
from trtllm_builder.profile.cache import RemoteCache
from trtllm_builder.verify.compiled import Compiled

URL = "redis://host:6379/0"


@pytest.mark.parametrize(
    ("url", "user", "wanted"),
    [
        (URL, None, "redis://p%40s%20s%24@host:6379/0"),
        (URL, "me", "redis://me:p%40s%20s%24@host:6379/0"),
        ("http://host/x", "me", "http://me:p%40s%20s%24@host/x"),
        ("redis+unix:/run/r.sock", None, "redis+unix://p%40s%20s%24@localhost/run/r.sock"),
    ],
)
def test_the_password_goes_into_the_url_that_ccache_gets(url: str, user: str | None, wanted: str) -> None:
    remote = RemoteCache(url=url, user=user, password_variable="S")
    assert with_password(remote, {"S": "p@s s$"}) == wanted
    assert "p@s" not in repr(remote)


def test_a_password_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    remote = RemoteCache(url=URL, password_file=str(path))
    for data in (None, b"", b"\n", b"\xff\xfe"):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(HostError, match=f"the password of {URL}: {path} "):
            with_password(remote, {})
    with pytest.raises(HostError, match="S is empty or not there"):
        with_password(RemoteCache(url=URL, password_variable="S"), {})


def test_an_untrusted_server_stays_with_the_build_directory_and_the_local_cache(tmp_path: Path) -> None:
    build, other, cache = tmp_path / "build", tmp_path / "other", tmp_path / "cache"
    untrusted = RemoteCache(url=URL)
    assert read_use(build, cache) == {"remote": [], "trusted": True}
    note_use(build, cache, None, "")
    assert read_use(build, cache) == {"remote": [], "trusted": True}
    note_use(build, cache, RemoteCache(url="http://ours", trusted=True), "http://ours")
    assert read_use(build, cache) == {"remote": ["http://ours"], "trusted": True}
    # One that was not reached leaves nothing behind.
    note_use(build, cache, untrusted, "")
    assert read_use(build, cache)["trusted"]
    note_use(build, cache, untrusted, URL)
    assert read_use(build, cache) == {"remote": ["http://ours", URL], "trusted": False}
    # The profile changed, and what was compiled stayed; nor do another build's hits lose where they are from.
    note_use(build, tmp_path / "fresh cache", None, "")
    assert read_use(build, tmp_path / "fresh cache") == {"remote": ["http://ours", URL], "trusted": False}
    note_use(other, cache, None, "")
    assert read_use(other, cache) == {"remote": [URL], "trusted": False}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"remote": 1, "trusted": true}', '{"remote": [], "trusted": 1}'])
def test_what_cannot_be_read_is_not_trusted(tmp_path: Path, text: str) -> None:
    (tmp_path / "trtllm-builder-caches.json").write_text(text)
    assert not read_use(tmp_path, tmp_path / "cache")["trusted"]


def test_the_log_tells_a_servers_hits_and_failures(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    path.write_text(
        "# a.cu\ndirect_cache_hit\nlocal_storage_miss\nremote_storage_hit\n"
        "# b.cu\ncache_miss\nremote_storage_error\nremote_storage_miss\n# c.cu\ncache_miss\nremote_storage_timeout\n"
    )
    log = CacheLog(path, tmp_path)
    log.read()
    assert (log.hits, log.misses) == (0, 0), "what was there before is another's"
    log.whole()
    assert (log.hits, log.misses, log.remote_hits, log.remote_failures) == (1, 2, 1, 2)


def test_a_server_of_rubbish_gives_no_hits_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    log, server = CacheLog(path, tmp_path), Server("http://h", os.open(tmp_path / "conf", os.O_RDWR | os.O_CREAT))
    for number in range(10):
        assert server.look(log) == ""
        with path.open("a") as stream:
            # As ccache tells of a result that came and was none: compiled, and "hit" all the same.
            stream.write(f"# {number}.cu\ncache_miss\nremote_storage_hit\nremote_storage_read_hit\n")
        log.read()
    assert (log.hits, log.misses, log.remote_hits, log.unusable) == (0, 10, 0, 10)
    assert "gave 10 times what ccache cannot use, and is left alone" in server.look(log)
    assert server.url == "" and server.look(log) == ""
    os.close(server.configuration)


def test_what_is_compiled_again_after_a_kill_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    note_begin(path)
    with path.open("a") as stream:
        stream.write("# a.cu\ncache_miss\n# a.cu\ncache_miss\n# b.cu\ncache_miss\n# c.cu\ncache_mi")
    note_begin(path)
    with path.open("a") as stream:
        stream.write("# b.cu\ndirect_cache_hit\nremote_storage_hit\n# c.cu\ncache_miss\n")
    log = CacheLog(path, tmp_path)
    log.whole()
    assert (log.hits, log.misses, log.remote_hits) == (1, 3, 1), "two objects of a.cu, one of b.cu and c.cu"


def test_how_it_was_compiled_in_a_sentence() -> None:
    assert Compiled(0, 0).told == ""
    assert Compiled(39, 1).told == "39 of 40 compilations came from the cache (98%)"
    assert Compiled(40, 0, 12, (URL,)).told.endswith(f"(100%), 12 of them from {URL}")
    assert Compiled(40, 0, 12, (URL,), False).told.endswith("which the profile does not trust: not to be published")
