"""Archives that no zip library would write: every lie is a finding of a known kind, none an exception."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.binary import findings, members, zip_directory
from trtllm_builder.binary.wheel import Limits, Wheel, WheelError, read_wheel

INFO = "toy-1.0.dist-info"
FULL = 0xFFFFFFFF


@dataclass(frozen=True)
class File:
    """A member. ``central`` and ``local`` replace fields of its two headers; ``behind`` follows its packed bytes."""

    name: str
    data: bytes = b""
    method: int = 8
    mode: int = stat.S_IFREG | 0o644
    flags: int = 0x800
    central: dict[str, Any] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    before: bytes = b""
    behind: bytes = b""

    def fields(self) -> dict[str, Any]:
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        packed = packer.compress(self.data) + packer.flush() if self.method == 8 else self.data
        size, crc = len(self.data), zlib.crc32(self.data)
        common = {"flags": self.flags, "method": self.method, "crc": crc, "packed": len(packed), "size": size}
        return {**common, "name": self.name.encode(), "extra": b"", "body": packed}


def local(file: File) -> bytes:
    f = {**file.fields(), **file.local}
    numbers = (f["flags"], f["method"], 0, 0, f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]))
    return struct.pack("<4s5H3I2H", b"PK\3\4", 20, *numbers) + f["name"] + f["extra"] + f["body"]


def central(file: File, offset: int) -> bytes:
    f = {**file.fields(), "offset": offset, **file.central}
    numbers = (f["flags"], f["method"], 0, 0, f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]))
    head = struct.pack("<4s6H3I5H2I", b"PK\1\2", 0x314, 20, *numbers, 0, 0, 0, file.mode << 16, f["offset"])
    return head + f["name"] + f["extra"]


def archive(
    files: Sequence[File],
    *,
    first: bytes = b"",
    last: bytes = b"",
    comment: bytes = b"",
    end64: bytes = b"",
    **end: int,
) -> bytes:
    """``end`` replaces count, size and offset in the end record; ``last`` stands after it, ``first`` before all."""
    out, directory = bytearray(), bytearray()
    for file in files:
        out += file.before
        directory += central(file, len(out))
        out += local(file) + file.behind
    e = {"count": len(files), "size": len(directory), "offset": len(out), **end}
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, e["count"], e["count"], e["size"], e["offset"], len(comment))
    return first + bytes(out + directory) + end64 + tail + comment + last


def sound(*more: File, drop: str = "") -> list[File]:
    """A wheel of correct files and ``more``, with a RECORD for all of them."""
    files = [
        File("toy/__init__.py", b"x = 1\n"),
        File(f"{INFO}/METADATA", b"Metadata-Version: 2.4\nName: toy\nVersion: 1.0\n\n"),
        File(f"{INFO}/WHEEL", b"Wheel-Version: 1.0\n"),
        *more,
    ]
    files = [file for file in files if file.name != drop]
    rows = []
    for file in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(file.data).digest()).rstrip(b"=").decode()
        rows += [f'"{file.name}",sha256={digest},{len(file.data)}\n'] * (not file.name.endswith("/"))
    return [*files, File(f"{INFO}/RECORD", ("".join(dict.fromkeys(rows)) + f"{INFO}/RECORD,,\n").encode())]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Wheel]:
    def read(data: bytes, **options: Limits) -> Wheel:
        path = tmp_path / "toy-1.0-py3-none-any.whl"
        path.write_bytes(data)
        return read_wheel(path, **options)

    return read


def end64(count: int, size: int, offset: int) -> bytes:
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<4sIQI", b"PK\6\7", 0, offset + size, 1)


def wide(*values: int) -> bytes:
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


def odd(**changes: Any) -> bytes:
    return archive(sound(replace(DATA, **changes)))


ZEROS = File("toy/zeros", bytes(3 << 20))
DATA = File("toy/data", b"abc" * 100)
BASE = archive(sound(DATA))
SPLIT = BASE.index(b"PK\1\2")
SIZES = {"crc": zlib.crc32(DATA.data), "packed": len(local(DATA)) - 38, "size": 300}
STREAMED = replace(DATA, flags=0x808, local={"crc": 0, "packed": 0, "size": 0})
DESCRIPTOR = struct.pack("<4s3I", b"PK\7\x08", *SIZES.values())

LIES: dict[str, tuple[str, bytes]] = {
    "a name that climbs": ("path", archive(sound(File("toy/../../x")))),
    "an absolute name": ("path", archive(sound(File("/etc/x")))),
    "a backslash": ("path", archive(sound(File("toy\\x")))),
    "a drive": ("path", archive(sound(File("C:x")))),
    "an empty part": ("path", archive(sound(File("toy//x")))),
    "a NUL": ("path", archive(sound(File("toy/x.py\0.txt")))),
    "text that runs from right to left": ("path", archive(sound(File("toy/\u202eyp.x")))),
    "no UTF-8": ("path", archive([*sound(), File("x", central={"name": b"\xff"}, local={"name": b"\xff"})])),
    "a second name": ("path", odd(central={"extra": struct.pack("<HHBI", 0x7075, 5, 1, 0)})),
    "a name twice": ("duplicate", archive(sound(DATA, DATA))),
    "a file that is a directory": ("duplicate", archive(sound(File("toy/a"), File("toy/a/b")))),
    "RECORD twice": ("duplicate", archive([*sound(), File("other-1.0.dist-info/RECORD")])),
    "case": ("alike", archive(sound(File("toy/A"), File("toy/a")))),
    "Unicode forms": ("alike", archive(sound(File("toy/\u00e9"), File("toy/e\u0301")))),
    "a symbolic link": ("link", odd(mode=stat.S_IFLNK | 0o777)),
    "a pipe": ("link", odd(mode=stat.S_IFIFO)),
    "a directory's mode": ("link", odd(mode=stat.S_IFDIR | 0o755)),
    "set-user-ID": ("mode", odd(mode=stat.S_IFREG | 0o4755)),
    "encrypted": ("encrypted", odd(flags=0x801)),
    "bzip2": ("compression", odd(method=12)),
    "unknown packing": ("compression", odd(method=99)),
    "another name inside": ("local", odd(local={"name": b"toy/evil"})),
    "another method inside": ("local", odd(local={"method": 0})),
    "another size inside": ("local", odd(local={"size": 301})),
    "no header there": ("local", odd(central={"offset": 7})),
    "a header beyond the file": (
        "local",
        odd(central={"offset": FULL, "extra": wide(2**63)}),
    ),
    "a wrong descriptor": ("local", archive(sound(replace(STREAMED, behind=DESCRIPTOR[:-1] + b"\1")))),
    "prepended": ("hidden", archive(sound(DATA), first=b"#!/bin/sh\n")),
    "prepended, with offsets that count it": ("hidden", archive([replace(sound()[0], before=b"#!x\n"), *sound()[1:]])),
    "appended": ("hidden", BASE + b"more"),
    "a comment": ("hidden", archive(sound(), comment=b"PK\5\6")),
    "a gap": ("hidden", odd(before=b"gap")),
    "a gap before the directory": ("hidden", archive([*sound(), replace(DATA, behind=b"gap")])),
    "behind the packed data": (
        "hidden",
        odd(central={"packed": SIZES["packed"] + 4}, behind=b"more"),
    ),
    "a directory with bytes": ("hidden", archive(sound(File("toy/d/", b"x", mode=stat.S_IFDIR | 0o755)))),
    "shared bytes": ("overlap", archive(sound(DATA, replace(DATA, name="toy/again", central={"offset": 0})))),
    "into the directory": ("overlap", archive([*sound(), replace(DATA, central={"packed": 10**6})])),
    "a smaller size": ("size", odd(central={"size": 10}, local={"size": 10})),
    "a larger size": ("size", odd(central={"size": 999}, local={"size": 999})),
    "a wrong checksum": ("size", odd(central={"crc": 1}, local={"crc": 1})),
    "a lie in 64 bits": ("size", odd(central={"size": FULL, "extra": wide(1000)})),
    "half a 64-bit field": ("directory", odd(central={"extra": b"\1\0\x20\0abc"})),
    "another count": ("directory", archive(sound(DATA), count=3)),
    "two ends that differ": ("directory", archive(sound(DATA), count=9, end64=end64(5, len(BASE) - SPLIT - 22, SPLIT))),
    "damage": ("unreadable", BASE.replace(local(DATA)[38:], b"\xff" * (len(local(DATA)) - 38))),
    "no METADATA": ("missing", archive(sound(drop=f"{INFO}/METADATA"))),
    "RECORD without a file": ("record", archive([*sound(), File("toy/unlisted.py")])),
    "an unreadable RECORD": ("record", archive([*sound()[:-1], replace(sound()[-1], method=99)])),
}


@pytest.mark.parametrize(("kind", "data"), LIES.values(), ids=LIES.keys())
def test_every_lie_is_a_finding(read: Callable[..., Wheel], kind: str, data: bytes) -> None:
    wheel = read(data)
    assert kind in {finding.kind for finding in wheel.findings}
    assert {finding.kind for finding in wheel.findings} <= findings.KINDS.keys()
    assert wheel.sha256 == hashlib.sha256(data).hexdigest()


def test_every_kind_is_tried() -> None:
    assert {kind for kind, _ in LIES.values()} == findings.KINDS.keys() - {"bomb", "name"}


def test_what_is_unusual_and_no_lie(read: Callable[..., Wheel]) -> None:
    large = replace(DATA, central={"size": FULL, "packed": FULL, "extra": wide(300, SIZES["packed"])})
    for data in (
        BASE,
        odd(method=0),
        archive(sound(replace(STREAMED, behind=DESCRIPTOR))),
        archive(sound(replace(STREAMED, behind=DESCRIPTOR[4:]))),
        archive(sound(replace(large, local={"size": FULL, "packed": FULL, "extra": wide(300, SIZES["packed"])}))),
        archive(sound(DATA), count=0xFFFF, size=FULL, offset=FULL, end64=end64(5, len(BASE) - SPLIT - 22, SPLIT)),
        archive(sound(File("toy/d/", mode=stat.S_IFDIR | 0o755), replace(DATA, mode=0))),
    ):
        assert read(data).findings == ()
        with zipfile.ZipFile(io.BytesIO(data)) as theirs:
            assert theirs.testzip() is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (BASE[:-10], "no end-of-directory"),
        (BASE[:SPLIT] + b"XX" + BASE[SPLIT + 2 :], "damaged at byte 0"),
        (archive(sound(), size=len(BASE) * 2), "before the file"),
        (archive(sound(), offset=len(BASE) * 2), "before the file"),
        (archive(sound(DATA), end64=b"x" * 56 + struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)), "64-bit end"),
        (BASE[:SPLIT] + BASE[SPLIT:].replace(b"toy/data", b"toy/"), "cut off|damaged|before"),
    ],
)
def test_without_a_directory_it_is_no_archive(read: Callable[..., Wheel], data: bytes, why: str) -> None:
    with pytest.raises(WheelError, match=why):
        read(data)


def test_bombs(read: Callable[..., Wheel], monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = archive(sound(ZEROS))
    inner = File("toy/inner.zip", bomb)  # is data to us, and never opened
    assert read(archive(sound(inner))).findings == ()
    for limits in (Limits(ratio=10, ratio_from=1 << 20), Limits(total=1 << 20)):
        assert ("bomb", "toy/zeros") in {(f.kind, f.member) for f in read(bomb, limits=limits).findings}
    # Members that share their bytes cost their sum.
    shared = [File(f"toy/{n}", central={**ZEROS.fields(), "name": f"toy/{n}".encode(), "offset": 0}) for n in range(9)]
    overlapping = read(archive([ZEROS, *shared]), limits=Limits(total=5 << 20))
    assert {"overlap", "bomb"} <= {finding.kind for finding in overlapping.findings}
    assert sum(member.size for member in overlapping.members) <= 5 << 20
    monkeypatch.setattr(zip_directory, "_MEMBER_LIMIT", 3)
    crowd = read(BASE)
    assert len(crowd.members) == 3 and "bomb" in {finding.kind for finding in crowd.findings}


def test_memory_is_bounded(read: Callable[..., Wheel], monkeypatch: pytest.MonkeyPatch) -> None:
    """A library too large to be kept, and more findings than anybody reads."""
    monkeypatch.setattr(members, "_IN_MEMORY", 1 << 20)
    monkeypatch.setattr(findings, "_KEPT", 50)
    for data in (archive(sound(File("toy/lib.so", b"\x7fELF" + bytes(12 << 20)))), archive([File("../x" * 99)] * 99)):
        tracemalloc.start()
        wheel = read(data)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()
    assert len(wheel.findings) == 51 and "more findings" in wheel.findings[-1].what
