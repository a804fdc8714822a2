"""Wheels of our writer in the hands of those who install them, and one with a member beyond 32 bits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trtllm_builder.binary.findings import Findings
from trtllm_builder.binary.wheel import read_wheel
from trtllm_builder.binary.zip_directory import read_directory
from trtllm_builder.repro.codec import BLOCK, pack
from trtllm_builder.repro.wheel_writer import normalise
from trtllm_builder.repro.zip_writer import ZipWriter

pytestmark = pytest.mark.integration
INFO = "toy-1.0.dist-info"
FILES = {
    "toy/__init__.py": b"ANSWER = 42\n",
    "toy/ünï.txt": "grüße\n".encode(),
    "toy/libs/data.so": bytes(range(256)) * 20_000,
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": b"",
}


def tree(directory: Path) -> dict[str, bytes]:
    ours = (path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in ours}


def test_pip_uv_unzip_and_zipfile_agree(tmp_path: Path) -> None:
    made = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    wheel = normalise(
        made, tmp_path / "out", epoch=1_767_225_600, build_tag="20260101_1a2b3c4d", added={"sboms/a.cdx.json": b"{}"}
    ).path
    assert wheel.name == "toy-1.0-20260101_1a2b3c4d-py3-none-any.whl" and read_wheel(wheel).findings == ()
    pip, uv, unzipped, python = (tmp_path / name for name in ("pip", "uv", "unzip", "zipfile"))
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    uv_program = Path(sys.executable).with_name("uv")
    for words in (
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            "--no-compile",
            "--target",
            pip,
            wheel,
        ],
        [
            uv_program,
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            "--python",
            sys.executable,
            "--target",
            uv,
            wheel,
        ],
        ["unzip", "-q", wheel, "-d", unzipped],
    ):
        subprocess.run(words, env=environ, check=True, timeout=60)
    zipfile.ZipFile(wheel).extractall(python)
    own = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
    written_by_installers = {".lock", *(f"{INFO}/{name}" for name in own)}
    plain = {name: data for name, data in tree(python).items() if name != f"{INFO}/RECORD"}
    assert plain.keys() == (FILES.keys() | {f"{INFO}/sboms/a.cdx.json"}) - {f"{INFO}/RECORD"}
    assert b"\nBuild: 20260101_1a2b3c4d\n" in plain[f"{INFO}/WHEEL"]
    assert tree(unzipped) == tree(python)
    for installed in (pip, uv):
        found = tree(installed)
        assert {name: data for name, data in found.items() if name not in written_by_installers} == plain, installed
        assert f"{INFO}/sboms/a.cdx.json,sha256=" in found[f"{INFO}/RECORD"].decode()


def test_a_member_of_more_than_4_gib(tmp_path: Path) -> None:
    """Written from packed blocks of zeros, so that it takes seconds; what follows it lies beyond 4 GiB of contents."""
    blocks = (4 << 10) + 5
    size = blocks * BLOCK
    zeros = b"\0" * BLOCK
    first, between, last = pack(zeros, b"", last=False), pack(zeros, zeros, last=False), pack(zeros, zeros, last=True)
    made = tmp_path / "toy-1.0-py3-none-any.whl"
    with made.open("wb") as stream:
        writer = ZipWriter(stream, (2026, 1, 1, 0, 0, 0))
        for name, data in {"toy/huge.bin": b"", **FILES}.items():
            if name == "toy/huge.bin":
                writer.begin(name, 0o644, size)
                for number in range(blocks):
                    writer.add(first if number == 0 else last if number == blocks - 1 else between)
            else:
                writer.begin(name, 0o644, len(data))
                for at in range(0, max(1, len(data)), BLOCK):
                    block, before = data[at : at + BLOCK], data[max(0, at - BLOCK) : at]
                    writer.add(pack(block, before, last=at + BLOCK >= len(data)))
            writer.end()
        writer.close()
    wheel = normalise(made, tmp_path / "out", epoch=0)
    with zipfile.ZipFile(wheel.path) as archive:
        info = archive.getinfo("toy/huge.bin")
        assert info.file_size == size > 1 << 32 and info.extract_version == 45
        record = archive.read(f"{INFO}/RECORD").decode()
        assert f",{size}\n" in record and archive.read("toy/libs/data.so") == FILES["toy/libs/data.so"]
    findings = Findings()
    with wheel.path.open("rb") as stream:
        entries = {one.name: one for one in read_directory(stream.fileno(), findings)}
    assert findings.all() == () and entries["toy/huge.bin"].size == size
    listed = subprocess.run(["unzip", "-Zl", wheel.path], check=True, capture_output=True, text=True).stdout
    assert str(size) in listed
    out = subprocess.run(["unzip", "-p", wheel.path, "toy/libs/data.so"], check=True, capture_output=True).stdout
    assert hashlib.sha256(out).digest() == hashlib.sha256(FILES["toy/libs/data.so"]).digest()
