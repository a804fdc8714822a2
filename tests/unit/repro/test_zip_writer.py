from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from trtllm_builder.binary.findings import Findings
from trtllm_builder.binary.zip_directory import read_directory
from trtllm_builder.repro.codec import pack
from trtllm_builder.repro.zip_writer import ZipWriter

DATE = (2026, 3, 4, 5, 6, 8)


def archive(members: dict[str, bytes], *, widest: int = 1 << 31) -> bytes:
    stream = io.BytesIO()
    writer = ZipWriter(stream, DATE, widest=widest)
    for name, data in members.items():
        writer.begin(name, 0o644, len(data))
        writer.add(pack(data, b"", last=True))
        writer.end()
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize("widest", [1 << 31, 10])
def test_every_reader_agrees(tmp_path: Path, widest: int) -> None:
    """Also with the fields of 64 bits that a member of 4 GiB needs."""
    members = {"a/b.txt": b"x" * 1000, "ünï.py": b"pass\n", "empty": b""}
    path = tmp_path / "a.zip"
    path.write_bytes(archive(members, widest=widest))
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == members
        assert {info.date_time for info in found.infolist()} == {DATE}
        assert [info.extract_version for info in found.infolist()] == ([45, 20, 20] if widest == 10 else [20, 20, 20])
    assert subprocess.run(["unzip", "-tqq", path], check=False).returncode == 0
    findings = Findings()
    descriptor = os.open(path, os.O_RDONLY)
    entries = read_directory(descriptor, findings)
    os.close(descriptor)
    assert findings.all() == () and [one.name for one in entries] == list(members)


def test_more_members_than_16_bits_can_count(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    nothing = pack(b"", b"", last=True)
    with path.open("wb") as stream:
        writer = ZipWriter(stream, DATE)
        for number in range(65_540):
            writer.begin(f"{number}", 0o755, 0)
            writer.add(nothing)
            writer.end()
        writer.close()
    with zipfile.ZipFile(path) as found:
        assert len(found.infolist()) == 65_540 and found.infolist()[-1].external_attr >> 16 == 0o100755


def test_a_member_that_grows_beyond_its_fields_is_refused() -> None:
    writer = ZipWriter(io.BytesIO(), DATE)
    writer.begin("a", 0o644, 5)
    writer.add(pack(b"x", b"", last=True))
    writer.members[-1].size = 1 << 32
    with pytest.raises(ValueError, match="more than was said"):
        writer.end()
