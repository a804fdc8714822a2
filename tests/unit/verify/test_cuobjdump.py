"""cuobjdumps of other releases: what they print was recorded from the real ones."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trtllm_builder.binary.fatbin import read_fatbin
from trtllm_builder.verify import audit as verify_audit
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.cuobjdump import find_cuobjdump
from trtllm_builder.verify.expect import Expectation

DATA = Path(__file__).parents[2] / "data" / "fatbin"
LIB = "tensorrt_llm/libs/libtensorrt_llm.so"
# Triton 3.1 brings release 12.4, which lists code of CUDA 13 without a complaint and takes sm_90a for sm_90.
OLD = """
ELF file    1: lib.1.sm_80.cubin
ELF file    2: lib.2.sm_89.cubin
ELF file    3: lib.3.sm_90.cubin
ELF file    4: lib.4.sm_100.cubin
ELF file    5: lib.5.sm_120.cubin
PTX file    1: lib.1.sm_89.ptx
"""
NEW = OLD.replace("sm_90.", "sm_90a.")


def tool(place: Path, release: str, listing: str, known: str = "'sm_75','sm_90a','sm_121'") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    path = place / "cuobjdump"
    path.write_text(
        f'#!/bin/sh\ncase $1 in\n--version) echo "Cuda compilation tools, release {release}, V{release}.99";;\n'
        f'--help) echo "{known}";;\n*) cat <<END{listing}END\nesac\n'
    )
    path.chmod(0o755)
    return path


def second(wheel: Path, path: Path) -> Check:
    found = audit(wheel, Expectation(), cuobjdump=path)
    return next(check for check in found.checks if check.id == "cuobjdump")


def test_a_release_older_than_the_compiler_cannot_judge(
    make_wheel: Callable[..., Path], make_library: Callable[..., bytes], tmp_path: Path
) -> None:
    wheel = make_wheel({LIB: make_library("many.fatbin")})
    old = second(wheel, tool(tmp_path / "old", "12.4", OLD, known="'sm_50','sm_90','sm_90a'"))
    assert old.status == "skipped" and "12.4 is older than this code, which CUDA 13.0" in str(old.evidence[0])
    assert second(wheel, tool(tmp_path / "new", "13.5", NEW)).status == "passed"
    assert second(wheel, tool(tmp_path / "wrong", "13.5", OLD)).status == "failed"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"sm_80": (1, 7), "sm_89": (1, 7), "sm_90a": (1, 7), "sm_100f": (1, 8), "sm_120": (1, 8)}, "skipped"),
        (dict.fromkeys(("sm_80", "sm_89", "sm_90a", "sm_100f", "sm_120"), (1, 7)), "passed"),
    ],
)
def test_the_release_is_told_by_the_format_of_cubins(
    make_wheel: Callable[..., Path],
    make_library: Callable[..., bytes],
    tmp_path: Path,
    change: dict[str, tuple[int, int]],
    status: str,
) -> None:
    """Made by 12.8, only SM 100 and later have the new format; before it nothing has."""
    data = bytearray((DATA / "many.fatbin").read_bytes())
    for entry in read_fatbin(bytes(data)):
        if entry.kind == "cubin":
            header = data.rindex(struct.pack("<HH", 2, 0x101), 0, entry.offset)
            struct.pack_into("<HH", data, header + 24, *reversed(change[entry.target]))
    (tmp_path / "older.fatbin").write_bytes(data)
    wheel = make_wheel({LIB: make_library(str(tmp_path / "older.fatbin"))})
    seen = second(wheel, tool(tmp_path, "12.6", NEW))
    assert seen.status == status
    if status == "skipped":
        assert "CUDA 12.8 or later made" in str(seen.evidence[0])


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        tool(tmp_path / place, "13.0", NEW)
        for place in ("path", "home/bin", "site/nvidia/cu13/bin", "site/triton/backends/nvidia/bin")
    ]
    monkeypatch.setattr("sys.path", [str(tmp_path / "site")])
    environ = {"PATH": f"relative:{tmp_path / 'path'}", "CUDA_HOME": str(tmp_path / "home")}
    for path in found:
        assert find_cuobjdump(environ) == path
        path.unlink()
    assert find_cuobjdump(environ) is None


def test_a_library_that_cannot_be_unpacked_is_not_judged(
    make_wheel: Callable[..., Path], make_library: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, name: str) -> Iterator[bytes]:
        yield b"x" * 1000
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(verify_audit, "unpack_member", full)
    seen = second(make_wheel({LIB: make_library("many.fatbin")}), tool(tmp_path, "13.5", NEW))
    assert seen.status == "skipped" and "No space left" in str(seen.evidence[0])


@pytest.mark.parametrize(
    ("version", "listing", "told"),
    [
        ("exec sleep 60", "", "did not tell its version within 0.5 s"),
        ("exec yes", "", "writes without end"),
        ("echo release 13.5", "exec sleep 60", f"did not list {LIB} within 0.5 s"),
        ("echo release 13.5", "exec yes", "wrote without end"),
        ("echo release 13.5", "exit 0", "lists nothing that we understand"),
        ("echo release 13.5", "echo rubbish", "lists nothing that we understand"),
    ],
)
def test_one_that_hangs_floods_or_talks_rubbish_cannot_judge(
    make_wheel: Callable[..., Path],
    make_library: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    listing: str,
    told: str,
) -> None:
    hangs = ("_PROBE" if "sleep" in version else "_TIMEOUT", 0.5 if "sleep" in version + listing else 60)
    for name, value in (hangs, ("_MOST", 1 << 16)):
        monkeypatch.setattr(f"trtllm_builder.verify.cuobjdump.{name}", value)
    path = tmp_path / "cuobjdump"
    path.write_text(f"#!/bin/sh\ncase $1 in --version) {version};; --help) ;; *) {listing};; esac\n")
    path.chmod(0o755)
    seen = second(make_wheel({LIB: make_library("many.fatbin")}), path)
    assert seen.status == "skipped" and told in str(seen.evidence[0])
