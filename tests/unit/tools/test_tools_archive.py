"""Archives that someone handed us, honest and hostile."""

from __future__ import annotations

import io
import os
import random
import stat
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import HostError
from trtllm_builder.tools.archive import extract

Member = tuple[str, bytes, bytes | str]


def archive(path: Path, members: Iterable[Member], mode: str = "w:gz") -> Path:
    """Members are (name, type, content of a file or target of a link)."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o6755
            if isinstance(content, str):
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


FILE, DIRECTORY, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_an_honest_archive_with_links_is_unpacked(tmp_path: Path, mode: str) -> None:
    members: list[Member] = [
        ("TRT/", DIRECTORY, b""),
        ("TRT/lib", LINK, "targets/x86_64-linux-gnu/lib"),
        ("TRT/targets/x86_64-linux-gnu/lib/libnvinfer.so.10", FILE, b"library"),
        ("TRT/targets/x86_64-linux-gnu/lib/libnvinfer.so", LINK, "libnvinfer.so.10"),
        ("TRT/targets/x86_64-linux-gnu/lib/libcopy.so", HARD, "TRT/targets/x86_64-linux-gnu/lib/libnvinfer.so.10"),
        ("./TRT/targets/x86_64-linux-gnu/lib/libnvinfer_static.a", FILE, b"large"),
    ]
    target = tmp_path / "out"
    target.mkdir()
    extract(archive(tmp_path / "a.tar", members, mode), target, skip=lambda name: name.endswith(".a"))
    library = target / "TRT/lib/libnvinfer.so"
    assert library.read_bytes() == b"library"
    assert (target / "TRT/lib/libcopy.so").read_bytes() == b"library"
    assert not (target / "TRT/lib/libnvinfer_static.a").exists()
    assert not library.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    assert os.access(library, os.X_OK)


HOSTILE: list[tuple[str, list[Member]]] = [
    ("leaves", [("../evil", FILE, b"x")]),
    ("leaves", [("a/../../evil", FILE, b"x")]),
    ("leaves", [("/tmp/evil", FILE, b"x")]),
    ("leaves", [("a", HARD, "../../etc/passwd")]),
    ("not in the archive", [("a", HARD, "etc/passwd")]),
    ("points outside", [("a", LINK, "/etc")]),
    ("points outside", [("d/a", LINK, "../../evil")]),
    ("points outside", [("d/up", LINK, ".."), ("a", LINK, "d/up/../../evil")]),
    ("there twice", [("a/file", FILE, b"x"), ("a/file", LINK, "other")]),
    ("there twice", [("a", LINK, "b"), ("a/evil", FILE, b"x")]),
    ("device", [("a", tarfile.FIFOTYPE, b"")]),
    ("device", [("a", tarfile.CHRTYPE, b"")]),
]


@pytest.mark.parametrize(("why", "members"), HOSTILE)
def test_a_hostile_member_is_refused_by_name(tmp_path: Path, why: str, members: list[Member]) -> None:
    target = tmp_path / "deep/out"
    target.mkdir(parents=True)
    source = archive(tmp_path / "a.tar.gz", members)
    with pytest.raises(HostError) as caught:
        extract(source, target)
    assert why in caught.value.what
    assert str(source) in str(caught.value)
    assert [path.name for path in tmp_path.rglob("evil") if target not in path.parents] == []


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b\x08broken", b"\0" * 100, b"BZh9" + b"\0" * 99])
def test_what_is_no_archive_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(HostError) as caught:
        extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert caught.value.remedy


@settings(max_examples=40, deadline=None)
@given(
    cut=st.integers(0, 400),
    flip=st.integers(0, 400),
    bit=st.integers(0, 7),
    mode=st.sampled_from(["w:gz", "w:xz", "w"]),
)
def test_a_damaged_archive_is_unpacked_inside_or_refused(cut: int, flip: int, bit: int, mode: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        source = archive(top / "a.tar", [("a/file", FILE, b"x" * 300), ("a/link", LINK, "file")], mode)
        data = bytearray(source.read_bytes())
        data[flip % len(data)] ^= 1 << bit
        source.write_bytes(data[: len(data) - cut % len(data)])
        (top / "out").mkdir()
        try:
            extract(source, top / "out")
        except HostError as error:
            assert error.remedy
        assert sorted(path.name for path in top.iterdir()) == ["a.tar", "out"]


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_damage_in_the_middle_of_a_large_one_is_one_sentence(tmp_path: Path, mode: str, place: float) -> None:
    source = archive(tmp_path / "a.tar", [("file", FILE, random.Random(0).randbytes(300_000))], mode)
    data = bytearray(source.read_bytes())
    middle = int(len(data) * place)
    data[middle : middle + 64] = b"\xff" * 64
    source.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(HostError, match=r"archive|damaged"):
        extract(source, tmp_path / "out")


def test_an_archive_larger_than_the_disk_is_refused_before_it_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = archive(tmp_path / "a.tar.gz", [("zeros", FILE, b"\0" * 5000)])
    (tmp_path / "out").mkdir()
    usage = type("Usage", (), {"free": 4999})
    monkeypatch.setattr("trtllm_builder.tools.archive.shutil.disk_usage", lambda _path: usage)
    with pytest.raises(HostError, match="more than the free room"):
        extract(source, tmp_path / "out")
