"""A real git server over http: credentials, failures, interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.errors import HostError, SourceError
from trtllm_builder.process import group_members, read_stat
from trtllm_builder.source.model import Mirror, SourceWant

World = Server = Any  # conftest.py

pytestmark = pytest.mark.integration


def everything_written(world: World) -> bytes:
    """All files below the cache and the workspaces except packs, and all that was logged."""
    kept = [path.read_bytes() for root in (world.cache, world.work) for path in root.rglob("*") if path.is_file()]
    return b"\n".join(kept) + "\n".join(world.lines).encode()


def test_a_commit_over_http(world: World, repository: Callable, server: Server) -> None:
    upstream = repository("up")
    first = upstream.commit({"a": "1"})
    upstream.commit({"a": "2"})
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", first))
    assert (got.path / "a").read_text() == "1" and got.served_by == "original"


def test_credentials_reach_the_server_and_nothing_else(world: World, repository: Callable, server: Server) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1"})
    server.password = "someone:s3cr3t/tok"
    url = server.url.replace("://", "://someone:s3cr3t%2Ftok@") + "/up/.git"
    got = world.obtain(SourceWant(url, "main"))
    assert got.commit == head
    assert "s3cr3t" not in repr(got) and b"s3cr3t" not in everything_written(world)
    # The same repository without credentials shares the cache.
    assert world.obtain(SourceWant(f"{server.url}/up/.git", "main", head), "b").served_by == "cache"


@pytest.mark.parametrize(
    ("given", "said"), [("", "asks for credentials"), ("someone:wrong@", "did not accept the credentials")]
)
def test_bad_credentials_are_said_and_not_shown(
    world: World, repository: Callable, server: Server, given: str, said: str
) -> None:
    repository("up").commit({"a": "1"})
    server.password = "someone:right"
    with pytest.raises(SourceError, match=said) as caught:
        world.obtain(SourceWant(server.url.replace("://", f"://{given}") + "/up/.git", "main"))
    assert "wrong" not in str(caught.value.to_json()) and "token" in caught.value.remedy.lower()
    assert len(server.requests) <= 4  # never tried again


def test_a_missing_repository_is_not_asked_for_again(world: World, server: Server) -> None:
    with pytest.raises(SourceError, match="no repository was found"):
        world.obtain(SourceWant(f"{server.url}/nothing", "main"))
    assert len(server.requests) == 1


def test_a_server_that_is_down_is_tried_three_times_with_pauses(world: World, no_pauses: list[float]) -> None:
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        world.obtain(SourceWant("http://127.0.0.1:9/up", "main"))
    assert len(no_pauses) == 2 and "mirror" in caught.value.remedy


def test_no_such_host_is_said(world: World) -> None:
    with pytest.raises(SourceError, match="cannot be resolved"):
        world.obtain(SourceWant("https://host.invalid/up", "main"))


def test_something_that_speaks_no_tls(world: World, server: Server) -> None:
    with pytest.raises(SourceError) as caught:
        world.obtain(SourceWant(server.url.replace("http://", "https://") + "/up", "main"))
    assert "TLS" in caught.value.what or "broke off" in caught.value.what


@pytest.mark.parametrize(
    "faults", [[("/git-upload-pack", "cut")] * 2, [("info/refs", "503"), ("/git-upload-pack", "503")]]
)
def test_a_broken_transfer_is_tried_again(
    world: World, repository: Callable, server: Server, faults: list[Any]
) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": os.urandom(200_000)})
    server.faults = list(faults)
    got = world.obtain(SourceWant(f"{server.url}/up/.git", "main", head))
    assert got.commit == head and server.faults == []


def test_the_deadline_ends_a_stalled_server(world: World, repository: Callable, server: Server) -> None:
    upstream = repository("up")
    head = upstream.commit({"a": "1"})
    server.faults = [("/git-upload-pack", "stall")] * 3
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"in the time it was given|no time is left"):
        world.obtain(SourceWant(f"{server.url}/up/.git", "main", head), deadline=1.0)
    assert time.monotonic() - begun < 10
    server.release.set()
    server.faults = []
    assert world.obtain(SourceWant(f"{server.url}/up/.git", "main", head)).commit == head


def test_what_a_server_says_cannot_reach_the_terminal_or_fool_the_reading(
    world: World, repository: Callable, server: Server
) -> None:
    repository("up").commit({"a": "1"})
    server.faults = [("info/refs", "error")]
    with pytest.raises(SourceError, match="no space left") as caught:
        world.obtain(SourceWant(f"{server.url}/up/.git", "main"))
    assert "\x1b" not in str(caught.value) and "disk is full" not in str(caught.value)


@contextmanager
def another_process(
    world: World, server: Server, want: SourceWant
) -> Iterator[tuple[subprocess.Popen[bytes], set[int]]]:
    """One whose git gets no answer to its fetch; yields it and its gits' process groups once it waits for that."""
    # In protocol 2 the first request of this kind is ls-remote's.
    server.faults = [("/git-upload-pack", "pass"), ("/git-upload-pack", "stall")]
    program = (
        "import os\nfrom pathlib import Path\nfrom trtllm_builder.source.model import SourceWant\n"
        "from trtllm_builder.source.obtain import obtain\n"
        f"obtain({want!r}, cache=Path({str(world.cache)!r}), destination=Path({str(world.work / 'src')!r}),"
        " environ=dict(os.environ), deadline=60)\n"
    )
    # A test run in the background of a shell ignores SIGINT, and its children would inherit that.
    listens = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{program}"
    child = subprocess.Popen([sys.executable, "-c", listens], start_new_session=True, stderr=subprocess.PIPE)
    try:
        yield child, _wait_for_git(child.pid, server)
    finally:
        child.kill()
        child.communicate()


def test_an_interrupt_ends_git_and_leaves_a_run_that_can_go_on(
    world: World, repository: Callable, server: Server
) -> None:
    want = SourceWant(f"{server.url}/up/.git", "main", repository("up").commit({"a": "1"}))
    with another_process(world, server, want) as (child, gits):
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=20)
        assert child.returncode != 0 and b"KeyboardInterrupt" in stderr
        assert all(group_members(group) == () for group in gits)
    server.release.set()
    assert not (world.work / "src").exists()
    assert world.obtain(want).commit == want.commit


def test_a_git_that_outlives_us_still_holds_the_cache(world: World, repository: Callable, server: Server) -> None:
    want = SourceWant(f"{server.url}/up/.git", "main", repository("up").commit({"a": "1"}))
    with another_process(world, server, want) as (child, gits):
        child.kill()
        child.wait()
        assert any(group_members(group) for group in gits)
        with pytest.raises(HostError, match="another process still holds"):
            world.obtain(want, deadline=0.2)
        server.release.set()
        assert world.obtain(want).commit == want.commit
        assert all(group_members(group) == () for group in gits)


def _wait_for_git(parent: int, server: Server) -> set[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        groups = set()
        for entry in Path("/proc").iterdir():
            stat = read_stat(int(entry.name)) if entry.name.isdigit() else None
            if stat and stat.parent == parent:
                groups.add(stat.group)
        if groups and not server.faults:
            return groups
        time.sleep(0.02)
    raise AssertionError("no git was started")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_said_and_the_next_try_goes_on(world: World, repository: Callable, tmp_path: Path) -> None:
    upstream = repository("up")
    head = upstream.commit({f"f{number}": os.urandom(400_000) for number in range(10)})
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        ample = world.work
        world.work = small
        with pytest.raises(SourceError, match="the disk is full") as caught:
            world.obtain(SourceWant(upstream.url, "main", head))
        assert "free space" in caught.value.remedy and not list(small.rglob("f*"))
        world.work, roomy, world.cache = ample, world.cache, small / "cache"
        other = Mirror("other", ((upstream.url, upstream.url),))
        with pytest.raises(SourceError, match="the disk is full"):
            world.obtain(SourceWant(upstream.url, "main", head, (Mirror("direct"), other)))
        assert len([line for line in world.lines if line.startswith("asking")]) == 2  # nobody else is asked
        world.cache = roomy
        assert world.obtain(SourceWant(upstream.url, "main", head)).commit == head
    finally:
        subprocess.run(["umount", str(small)], check=True)
