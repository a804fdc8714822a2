from __future__ import annotations

import base64
import hashlib
import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.binary import members
from trtllm_builder.binary.wheel import Limits, Wheel, WheelError, read_wheel

INFO = "toy-1.0.dist-info"
FILES = {
    "toy/__init__.py": b"__version__ = '1.0'\n",
    "toy/libs/libtoy.so": b"\x7fELF not really",
    "flat.py": b"",
    "_native.cpython-310-x86_64-linux-gnu.so": b"\x7fELF neither",
    f"{INFO}/METADATA": b"Metadata-Version: 2.4\nName: toy\nVersion: 1.0\nRequires-Dist: a\nRequires-Dist: b>1\n\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\n",
}


def line(name: str, data: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()
    return f"{name},{algorithm}={digest},{len(data)}\n"


def record(files: dict[str, bytes]) -> bytes:
    return ("".join(line(*item) for item in files.items()) + f"{INFO}/RECORD,,\n").encode()


def make(
    tmp_path: Path, files: dict[str, bytes], *, listed: bytes | None = None, name: str = "toy-1.0-py3-none-any.whl"
) -> Path:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in files.items():
            archive.writestr(member, data)
        archive.writestr(f"{INFO}/RECORD", record(files) if listed is None else listed)
    return path


def found(wheel: Wheel) -> set[tuple[str, str]]:
    return {(finding.kind, finding.member) for finding in wheel.findings}


def test_a_sound_wheel(tmp_path: Path) -> None:
    path = make(tmp_path, FILES)
    visited: dict[str, bytes] = {}

    def visit(name: str, stream: BinaryIO) -> None:
        stream.seek(0)
        visited[name] = stream.read()

    wheel = read_wheel(path, visit=visit)
    assert wheel.findings == ()
    assert (wheel.name, wheel.version) == ("toy", "1.0")
    assert {tag.interpreter for tag in wheel.tags} == {"py3"}
    assert wheel.header("requires-dist") == ("a", "b>1")
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.size == path.stat().st_size
    assert wheel.top_level == ("_native", "flat", "toy")
    assert visited == {name: data for name, data in FILES.items() if data.startswith(b"\x7fELF")}
    sizes = {member.name: member.size for member in wheel.members if member.elf}
    assert sizes == {name: len(data) for name, data in visited.items()}


def test_stronger_hashes_are_checked_too(tmp_path: Path) -> None:
    good = record(FILES).decode().replace(line("flat.py", b""), line("flat.py", b"", "sha512"))
    assert read_wheel(make(tmp_path, FILES, listed=good.encode())).findings == ()
    bad = good.replace(line("flat.py", b"", "sha512"), line("flat.py", b"x", "sha512").replace(",1\n", ",0\n"))
    assert found(read_wheel(make(tmp_path, FILES, listed=bad.encode()))) == {("record", "flat.py")}


@pytest.mark.parametrize(
    ("change", "member"),
    [
        (lambda text: text.replace(line("flat.py", b""), ""), "flat.py"),  # a file that RECORD omits
        (lambda text: text + line("ghost.py", b"x"), "ghost.py"),
        (lambda text: text.replace(line("flat.py", b""), line("flat.py", b"x")), "flat.py"),
        (lambda text: text.replace(line("flat.py", b""), "flat.py,,\n"), "flat.py"),
        (lambda text: text.replace(line("flat.py", b""), line("flat.py", b"", "md5")), "flat.py"),
        (lambda text: text.replace("=,", ",").replace(",0\n", ",7\n"), "flat.py"),
        (lambda text: text + "short\n", "short"),
    ],
)
def test_record_that_does_not_fit(tmp_path: Path, change: Callable[[str], str], member: str) -> None:
    wheel = read_wheel(make(tmp_path, FILES, listed=change(record(FILES).decode()).encode()))
    assert found(wheel) == {("record", member)}


def test_a_file_named_twice_in_record(tmp_path: Path) -> None:
    listed = record(FILES) + line("flat.py", b"").encode()
    assert found(read_wheel(make(tmp_path, FILES, listed=listed))) == {("duplicate", "flat.py")}


def test_no_record_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy.py", "")
    whats = {finding.what for finding in read_wheel(path).findings if finding.kind == "missing"}
    assert {what.rsplit("/")[-1] for what in whats} == {"RECORD", "METADATA", "WHEEL"}


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/evil", "toy/../../evil", "C:/evil", "toy\\..\\evil", "a/./b", "a\nb"]
)
def test_names_that_climb_out(tmp_path: Path, name: str) -> None:
    assert "path" in {finding.kind for finding in read_wheel(make(tmp_path, {**FILES, name: b"x"})).findings}


def test_duplicate_members_and_links(tmp_path: Path) -> None:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    link = zipfile.ZipInfo("toy/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.writestr("flat.py", b"import os\n")
        archive.writestr(link, b"/etc/passwd")
        archive.writestr(f"{INFO}/RECORD", record({**FILES, "toy/link": b"/etc/passwd"}))
    kinds = found(read_wheel(path))
    assert ("duplicate", "flat.py") in kinds
    assert ("link", "toy/link") in kinds


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    path = make(tmp_path, {**FILES, "toy/zeros": bytes(3 << 20)})
    by_ratio = read_wheel(path, limits=Limits(ratio=10, ratio_from=1 << 20))
    assert ("bomb", "toy/zeros") in found(by_ratio)
    assert next(member for member in by_ratio.members if member.name == "toy/zeros").size <= 2 << 20
    assert ("bomb", "toy/zeros") in found(read_wheel(path, limits=Limits(total=1 << 20)))
    assert read_wheel(path).findings == ()


def test_lying_sizes_and_damage(tmp_path: Path) -> None:
    path = make(tmp_path, {**FILES, "toy/data": b"abc" * 1000})
    data = bytearray(path.read_bytes())
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(b"toy/data"))
    struct.pack_into("<I", data, central + 24, 10)  # uncompressed size in the central directory
    path.write_bytes(data)
    assert {("size", "toy/data"), ("local", "toy/data")} <= found(read_wheel(path))
    struct.pack_into("<I", data, central + 24, 3000)
    struct.pack_into("<H", data, central + 8, 1)  # the flag of encryption
    path.write_bytes(data)
    assert ("encrypted", "toy/data") in found(read_wheel(path))


def test_a_name_that_is_none(tmp_path: Path) -> None:
    path = make(tmp_path, FILES).rename(tmp_path / "toy.whl")
    assert ("name", "") in found(read_wheel(path))


def test_no_archive_at_all(tmp_path: Path) -> None:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    for data in (b"", b"<html>404</html>", b"PK\x05\x06" + b"\xff" * 18):
        path.write_bytes(data)
        with pytest.raises(WheelError, match="no readable zip archive"):
            read_wheel(path)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_mutated_archives(tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**FILES, f"{INFO}/RECORD": record(FILES)}.items():
            archive.writestr(name, content)
    data = bytearray(buffer.getvalue())
    for at, new in edits:
        at %= len(data)
        data[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "toy-1.0-py3-none-any.whl"
    path.write_bytes(data)
    try:
        wheel = read_wheel(path, visit=lambda name, stream: None)
    except WheelError as error:
        assert str(error)
    else:
        assert wheel.size == len(data)


def test_texts_are_kept_while_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_KEPT", 30)
    path = make(tmp_path, {**FILES, "toy/large.py": b"x" * 40, "toy/small.py": "\u00e9\xff".encode("latin-1")})
    wheel = read_wheel(path, keep=lambda name: name.endswith(".py"))
    assert wheel.texts == {"toy/__init__.py": "__version__ = '1.0'\n", "flat.py": "", "toy/small.py": "\ufffd\ufffd"}
    assert wheel.not_kept == ("toy/large.py",)


def test_what_a_wheel_says_of_itself_is_kept_before_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtllm_builder.binary.members._KEPT", 100)
    path = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, size in (("x/a.py", 60), ("x/b.py", 60), ("x-1.dist-info/big", 101), ("x-1.dist-info/WHEEL", 40)):
            archive.writestr(name, "#" * size)
    seen = read_wheel(path, keep=lambda _: True)
    assert set(seen.texts) == {"x/a.py", "x-1.dist-info/WHEEL"}
    assert seen.not_kept == ("x/b.py", "x-1.dist-info/big")
