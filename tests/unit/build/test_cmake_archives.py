from __future__ import annotations

import time
from pathlib import Path

import pytest

from trtllm_builder.build import archives
from trtllm_builder.build.archives import downloaded, obtain_archives
from trtllm_builder.errors import SourceError
from trtllm_builder.source.archives import archive_name
from trtllm_builder.source.failures import TransportError
from trtllm_builder.source.git import find_git
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.web import Client
from trtllm_builder.upstream.fetch_content import Declared


def declared(name: str, host: str = "one.invalid") -> Declared:
    return Declared(name, "archive", f"https://{host}/{name}.tar.gz", "", False, "CMakeLists.txt", 1)


def servers(tmp_path: Path, *, offline: bool = False) -> Servers:
    git = find_git({"PATH": "/usr/local/bin:/usr/bin:/bin"})
    return Servers(git, tmp_path, (), time.monotonic() + 5, lambda _: None, offline, rounds=1)


@pytest.mark.parametrize(
    ("place", "is_one"),
    [
        ("_deps/it-subbuild/it-populate-prefix/src/v1.tar.gz", True),
        ("_deps/it-tmp/v1.zip", True),  # CMake 3.30 and later
        ("zlib-prefix/src/zlib.tgz", True),
        ("3rdparty/zlib-prefix/src/zlib.tar.xz", True),
        ("_deps/it-src/tests/data.tar.gz", False),
        ("_deps/it-subbuild/it-populate-prefix/src/it-populate-stamp/x.txt", False),
        ("_deps/it-tmp/download-it.cmake", False),
    ],
)
def test_where_cmake_keeps_what_it_downloaded(tmp_path: Path, place: str, is_one: bool) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_bytes(b"")
    assert downloaded(tmp_path) == ([tmp_path / place] if is_one else [])


def test_a_server_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def obtain(url: str, *_: object) -> Path:
        asked.append(url)
        if "one.invalid" in url:
            raise TransportError("no-network", "nobody there")
        raise SourceError("not found")

    monkeypatch.setattr(archives, "obtain_archive", obtain)
    wanted = [declared("a"), declared("b"), declared("c", "two.invalid"), declared("d", "two.invalid")]
    found = obtain_archives(wanted, servers(tmp_path), Client.of({}))
    assert [url.rpartition("/")[2] for url in asked] == ["a.tar.gz", "c.tar.gz", "d.tar.gz"]
    assert found.held == () and list(found.missing) == [one.url for one in wanted]
    assert [note.rpartition(": ")[2] for note in found.notes] == [
        "nobody there", "one.invalid did not answer", "not found", "not found",
    ]  # fmt: skip


def test_a_bundle_has_it_or_has_it_not(tmp_path: Path) -> None:
    one, other = declared("a"), declared("b")
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / archive_name(one.url)).write_bytes(b"an archive")
    found = obtain_archives([one, other], servers(tmp_path, offline=True), Client.of({}))
    assert [(each.name, each.size) for each in found.held] == [("a", 10)] and found.missing == (other.url,)
    assert "the bundle does not have it" in found.notes[0]
