from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trtllm_builder.binary.wheel import read_wheel
from trtllm_builder.errors import VerifyError
from trtllm_builder.repro import packing
from trtllm_builder.repro.codec import BLOCK, CODEC
from trtllm_builder.repro.wheel_writer import normalise

FILES = {
    "pkg/__init__.py": b"x = 1\n",
    "pkg/libs/lib.so": bytes(range(256)) * 5000,
    "pkg-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pkg\nVersion: 1\n",
    "pkg-1.dist-info/WHEEL": b"Wheel-Version: 1.0\nBuild: 9\nTag: py3-none-any\n",
    "pkg-1.dist-info/RECORD": b"stale\n",
}


def toy(path: Path, names: list[str], year: int, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name, (year, 1, 2, 3, 4, 6))
            info.external_attr = mode << 16
            archive.writestr(info, FILES[name])
    return path


def test_order_times_and_small_mode_bits_do_not_matter(tmp_path: Path) -> None:
    one = toy(tmp_path / "a" / "pkg-1-py3-none-any.whl", list(FILES), 1999)
    two = toy(tmp_path / "b" / "pkg-1-py3-none-any.whl", list(reversed(FILES)), 2024, 0o600)
    first = normalise(one, tmp_path / "x", epoch=1_700_000_000)
    second = normalise(two, tmp_path / "y", epoch=1_700_000_000)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert normalise(one, tmp_path / "z", epoch=1_600_000_000).sha256 != first.sha256


def test_record_is_made_from_what_is_inside_and_stands_last(tmp_path: Path) -> None:
    result = normalise(toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000, 0o755), tmp_path / "x", epoch=0)
    with zipfile.ZipFile(result.path) as archive:
        names = archive.namelist()
        rows = list(csv.reader(io.StringIO(archive.read("pkg-1.dist-info/RECORD").decode())))
        assert names[-1] == "pkg-1.dist-info/RECORD" and [row[0] for row in rows] == names
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={expected}", str(len(data)))
        assert archive.getinfo("pkg/__init__.py").external_attr >> 16 == 0o100755
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_does_not_matter(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where a member ends between blocks, nor when what was written is hashed."""
    monkeypatch.setattr(packing, "_HASHED_AT_ONCE", threads)
    source = random.Random(3)
    files = {
        f"pkg/{size}.bin": source.randbytes(size) for size in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 << 19)
    }
    monkeypatch.setitem(FILES, "pkg/zeros", b"\0" * (BLOCK + 5))
    for name, data in files.items():
        monkeypatch.setitem(FILES, name, data)
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    one = normalise(wheel, tmp_path / "x", epoch=0, threads=1)
    more = normalise(wheel, tmp_path / "y", epoch=0, threads=threads)
    assert one.sha256 == more.sha256 and more.codec == CODEC
    with zipfile.ZipFile(more.path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in files} == files
    assert more.sha256 == hashlib.sha256(more.path.read_bytes()).hexdigest()


def test_a_build_tag_goes_into_the_name_and_into_wheel(tmp_path: Path) -> None:
    wheel = toy(tmp_path / "pkg-1-7-py3-none-any.whl", list(FILES), 2000)
    result = normalise(wheel, tmp_path / "x", epoch=0, build_tag="20260101_1a2b3c4d")
    assert result.path.name == "pkg-1-20260101_1a2b3c4d-py3-none-any.whl"
    seen = read_wheel(result.path, keep=lambda name: name.endswith("WHEEL"))
    assert seen.findings == () and seen.build == "20260101_1a2b3c4d"
    assert seen.texts["pkg-1.dist-info/WHEEL"] == "Wheel-Version: 1.0\nBuild: 20260101_1a2b3c4d\nTag: py3-none-any\n"
    assert (
        "Build: 9"
        in zipfile.ZipFile(normalise(wheel, tmp_path / "y", epoch=0).path).read("pkg-1.dist-info/WHEEL").decode()
    )
    for tag in ("x1", "1-2", "1/..", "1\n"):
        with pytest.raises(VerifyError, match="is no build tag"):
            normalise(wheel, tmp_path / "z", epoch=0, build_tag=tag)


@pytest.mark.parametrize("text", [b"", b"Wheel-Version: 1.0", b"build: 1\r\n"])
def test_an_odd_wheel_file_gets_its_build_tag(tmp_path: Path, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES, "pkg-1.dist-info/WHEEL", text)
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    with zipfile.ZipFile(normalise(wheel, tmp_path / "x", epoch=0, build_tag="2").path) as archive:
        lines = archive.read("pkg-1.dist-info/WHEEL").decode().splitlines()
    assert lines == [*text.decode().splitlines()[: text.startswith(b"W")], "Build: 2"]


@pytest.mark.parametrize(("epoch", "year"), [(-5, 1980), (1 << 33, 2107)])
def test_a_time_that_zip_cannot_say(tmp_path: Path, epoch: int, year: int) -> None:
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    with zipfile.ZipFile(normalise(wheel, tmp_path / "x", epoch=epoch).path) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {year}


def test_members_are_changed_and_added(tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    cleaned.write_bytes(b"clean" * 1000)
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    added = {"sboms/a.cdx.json": b"{}", "METADATA": b"Name: other\n"}
    result = normalise(wheel, tmp_path / "x", epoch=0, changed={"pkg/libs/lib.so": cleaned}, added=added)
    assert read_wheel(result.path).findings == ()  # RECORD names them
    with zipfile.ZipFile(result.path) as archive:
        assert archive.read("pkg/libs/lib.so") == cleaned.read_bytes()
        assert archive.read("pkg-1.dist-info/sboms/a.cdx.json") == b"{}"
        assert archive.read("pkg-1.dist-info/METADATA") == b"Name: other\n"
        assert archive.namelist()[-1] == "pkg-1.dist-info/RECORD"


@pytest.mark.parametrize(
    ("name", "mode"), [("../out", 0o100644), ("/etc/x", 0o100644), ("pkg/link", 0o120777), ("a\\..\\b", 0o100644)]
)
def test_members_that_leave_or_link_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    with zipfile.ZipFile(wheel, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "x")
    with pytest.raises(VerifyError, match="is no sound archive"):
        normalise(wheel, tmp_path / "x", epoch=0)
    assert list((tmp_path / "x").iterdir()) == []


@pytest.mark.parametrize("field", ["crc", "size"])
def test_a_member_that_is_not_what_the_directory_says_is_refused(tmp_path: Path, field: str) -> None:
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    data = bytearray(wheel.read_bytes())
    for magic, at in ((b"PK\x01\x02", 16), (b"PK\x03\x04", 14)):
        place = data.index(magic) + at + (8 if field == "size" else 0)
        data[place] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(VerifyError, match=r"checksum|is said to hold"):
        normalise(wheel, tmp_path / "x", epoch=0)
    assert list((tmp_path / "x").iterdir()) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4), cut=st.booleans()
)
def test_damage_is_a_sentence(tmp_path: Path, flips: list[tuple[int, int]], cut: bool) -> None:
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", [n for n in FILES if not n.endswith(".so")], 2000)
    data = bytearray(wheel.read_bytes())
    for at, value in flips:
        data[at % len(data)] = value
    wheel.write_bytes(data[: flips[0][0] % len(data)] if cut else data)
    with contextlib.suppress(VerifyError):
        normalise(wheel, tmp_path / "x", epoch=0)


def test_killed_in_the_middle_it_leaves_the_old_wheel(tmp_path: Path) -> None:
    wheel = toy(tmp_path / "pkg-1-py3-none-any.whl", list(FILES), 2000)
    old = normalise(wheel, tmp_path / "x", epoch=0)
    before = old.path.read_bytes()
    program = """
import os, signal, sys
from pathlib import Path
from trtllm_builder.repro.wheel_writer import normalise
from trtllm_builder.repro.zip_writer import ZipWriter
ZipWriter.close = lambda self: os.kill(os.getpid(), signal.SIGKILL)
normalise(Path(sys.argv[1]), Path(sys.argv[2]), epoch=1_700_000_000)
"""
    ended = subprocess.run([sys.executable, "-c", program, wheel, tmp_path / "x"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert old.path.read_bytes() == before and len(list((tmp_path / "x").iterdir())) == 2
    again = normalise(wheel, tmp_path / "x", epoch=1_700_000_000)
    assert again.sha256 != old.sha256 and list((tmp_path / "x").iterdir()) == [again.path]


@pytest.mark.parametrize("damage", ["not a zip", "truncated", "no record", "twice"])
def test_what_is_no_wheel_is_refused_and_nothing_is_left(tmp_path: Path, damage: str) -> None:
    wheel = toy(
        tmp_path / "pkg-1-py3-none-any.whl",
        [n for n in FILES if damage != "no record" or "RECORD" not in n],
        2000,
    )
    if damage == "not a zip":
        wheel.write_bytes(b"nothing")
    elif damage == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:-30])
    elif damage == "twice":
        with pytest.warns(UserWarning), zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("pkg/__init__.py", b"other")
    with pytest.raises(VerifyError):
        normalise(wheel, tmp_path / "x", epoch=0)
    assert list((tmp_path / "x").iterdir()) == []
