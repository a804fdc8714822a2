"""An archive that CMake downloads: obtained beforehand, in the lock by its hash, and held against what CMake took."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trtllm_builder.build.archives import archive_inputs, check_downloaded, downloaded, obtain_archives
from trtllm_builder.build.locked import check_inputs
from trtllm_builder.errors import ProfileError, SourceError
from trtllm_builder.repro.lock import Lock
from trtllm_builder.source.git import find_git
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.web import Client
from trtllm_builder.upstream.fetch_content import is_switched_off, read_declarations

pytestmark = pytest.mark.integration
CMAKE = """\
cmake_minimum_required(VERSION 3.18)
project(x NONE)
include(FetchContent)
FetchContent_Declare(It URL "%s/a/one/archive/c0ffee.tar.gz")
FetchContent_MakeAvailable(It)
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "www")) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def serve(tmp_path: Path, text: str) -> str:
    """What lies at the URL now; its sha256."""
    place = tmp_path / "www/a/one/archive/c0ffee.tar.gz"
    place.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "note.txt").write_text(text)
    with tarfile.open(place, "w:gz") as tar:
        tar.add(tmp_path / "note.txt", "one-c0ffee/note.txt")
    return hashlib.sha256(place.read_bytes()).hexdigest()


def configure(tmp_path: Path) -> Path:
    build = tmp_path / "build"
    words = ["cmake", "-S", str(tmp_path / "source"), "-B", str(build)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(words, env=environ, check=True, capture_output=True, timeout=60)
    return build


def test_what_cmake_downloads_is_what_was_locked(tmp_path: Path, server: str) -> None:
    first = serve(tmp_path, "one")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "CMakeLists.txt").write_text(CMAKE % server)
    (declared,) = read_declarations(tmp_path / "source").found
    assert (declared.kind, is_switched_off(declared, [])) == ("archive", False)

    def obtain(cache: str) -> Any:
        git = find_git({"PATH": os.environ["PATH"]})
        servers = Servers(git, tmp_path / cache, (), time.monotonic() + 30, lambda _: None, rounds=1)
        return obtain_archives([declared], servers, Client.of({}))

    fetched = [one.to_json() for one in obtain("cache").held]
    assert [(one["name"], one["sha256"]) for one in fetched] == [("It", first)]
    locked = Lock("mine", {}, 1, tuple(archive_inputs(fetched)))
    notes: list[str] = []
    run: Any = SimpleNamespace(
        workspace=SimpleNamespace(build=configure(tmp_path)),
        results={"fetch": {"archives": fetched}},
        material=SimpleNamespace(request=SimpleNamespace(locked=None)),
        observer=SimpleNamespace(note=notes.append),
        plan=SimpleNamespace(caches=str(tmp_path / "cache")),
    )
    assert [path.name for path in downloaded(run.workspace.build)] == ["c0ffee.tar.gz"]
    check_downloaded(run)

    # Somebody moves the tag, between our download and CMake's, or before both.
    second = serve(tmp_path, "two")
    (tmp_path / "build").rename(tmp_path / "before")
    configure(tmp_path)
    with pytest.raises(SourceError, match="with other bytes than") as error:
        check_downloaded(run)
    cached = str(error.value.remedy).partition("delete ")[2].partition(",")[0]
    assert Path(cached).is_file()
    run.material.request.locked = locked
    with pytest.raises(ProfileError, match=f"{second[:16]}, and the lock has {first[:16]}"):
        check_downloaded(run)
    again = [one.to_json() for one in obtain("another cache").held]
    with pytest.raises(ProfileError, match=f"download It: {second[:16]}, and the lock has {first[:16]}"):
        check_inputs(locked, tuple(archive_inputs(again)), "download")

    # One that nobody declared where we look.
    run.results["fetch"]["archives"] = []
    with pytest.raises(ProfileError, match="which the lock does not have"):
        check_downloaded(run)
    run.material.request.locked = None
    check_downloaded(run)
    assert len(notes) == 1 and second in notes[0] and "not in the lock" in notes[0]
