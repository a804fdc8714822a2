"""Publishers at once, small disks, and whoever may not write: with our own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.errors import PublishError
from trtllm_builder.index.check import check
from trtllm_builder.index.opening import open_index
from trtllm_builder.publish.add import add
from trtllm_builder.publish.inspect import inspect
from trtllm_builder.publish.rules import Allowed, judge

pytestmark = pytest.mark.integration

Make = Callable[..., Path]
COMMAND = (sys.executable, "-m", "trtllm_builder")
OTHERS = Allowed(unverified=True)


def test_ten_publishers_at_once_lose_nothing(make_wheel: Make, environ: dict[str, str], tmp_path: Path) -> None:
    """They even make the index together."""
    index = tmp_path / "index"
    wheels = [make_wheel("small", f"1.{number}") for number in range(10)]
    words = (*COMMAND, "publish", "--index", str(index), "--allow-unverified", "--json")
    running = [
        subprocess.Popen([*words, str(wheel)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for wheel in wheels
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert [one["outcome"] for one in json.loads(out)["wheels"]] == ["published"]
    held, problems = check(open_index(index), inspect)
    assert sorted(wheel.filename for wheel in held.wheels) == sorted(wheel.name for wheel in wheels)
    assert problems == ()


def test_one_name_from_ten_publishers_is_one_file(make_wheel: Make, environ: dict[str, str], tmp_path: Path) -> None:
    index = tmp_path / "index"
    wheels = [make_wheel(directory=tmp_path / str(n), content=f"BUILD = {n}\n") for n in range(5)]
    words = (*COMMAND, "publish", "--index", str(index), "--allow-unverified")
    running = [
        subprocess.Popen([*words, str(wheel)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for wheel in wheels
    ]
    ends = {(process.communicate(timeout=120)[1] and process.returncode) or process.returncode for process in running}
    assert ends == {0, 8} and sorted(process.returncode for process in running) == [0, 8, 8, 8, 8]
    held, problems = check(open_index(index), inspect)
    assert len(held.wheels) == 1 and problems == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_leaves_the_index_as_it_was(make_wheel: Make, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        index = small / "index"
        add([judge(make_wheel(), OTHERS)], index)
        noise = os.urandom(600_000)
        large = judge(make_wheel("small", "2.0", members={"small_data.bin": noise}), OTHERS)
        free = os.statvfs(small).f_bavail
        with pytest.raises(PublishError, match="there is no room left") as caught:
            add([large], index)
        assert "the index is as it was; free space" in caught.value.remedy
        held, problems = check(open_index(index), inspect)
        assert [wheel.version for wheel in held.wheels] == ["1.0"] and problems == ()
        assert os.statvfs(small).f_bavail >= free - 2  # what it took is given back at once
        # Pages need room, too.
        (small / "other").write_bytes(os.urandom((os.statvfs(small).f_bavail - 3) * 4096))
        with pytest.raises(PublishError, match="there is no room left"):
            add([judge(make_wheel("small", "1.1"), OTHERS)], index)
        (small / "other").unlink()
        add([judge(make_wheel("small", "1.1"), OTHERS)], index)
        held, problems = check(open_index(index), inspect)
        assert len(held.wheels) == 2 and problems == ()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system read-only needs root")
def test_a_read_only_disk_is_a_sentence(make_wheel: Make, environ: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    wheel = make_wheel()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        add([judge(wheel, OTHERS)], place / "index")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        words = [*COMMAND, "publish", "--index", str(place / "index"), "--allow-unverified", str(make_wheel("b"))]
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 8 and "the file system is read-only" in done.stderr, done.stderr
        listing = [*COMMAND, "index", "list", str(place / "index"), "--json"]
        listed = subprocess.run(listing, env=environ, capture_output=True, text=True, timeout=60, check=True)
        assert [one["filename"] for one in json.loads(listed.stdout)["wheels"]] == [wheel.name]
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_who_may_not_write_is_told(make_wheel: Make, environ: dict[str, str], tmp_path: Path) -> None:
    """As nobody, into root's index."""
    index = tmp_path / "index"
    add([judge(make_wheel(), OTHERS)], index)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            candidate = judge(make_wheel("b"), OTHERS)
            os.setuid(65534)
            add([candidate], index)
        except PublishError as error:
            code = 0 if "this user may not write there" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
