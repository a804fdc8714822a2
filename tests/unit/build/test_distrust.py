from __future__ import annotations

import struct
from pathlib import Path

import pytest

from trtllm_builder.build.distrust import (
    broken_binaries,
    forget_configuration,
    is_cache_broken,
    is_half_configured,
    moved_from,
)

CACHE = """\
# This is the CMakeCache file.
//Path to a program.
CMAKE_AR:FILEPATH=/usr/bin/ar
"ODD:NAME":STRING=a b=c
CMAKE_GENERATOR:INTERNAL=Ninja
CMAKE_HOME_DIRECTORY:INTERNAL=/w/source/cpp
"""


def elf(table: int, entries: int) -> bytes:
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 40, table)
    struct.pack_into("<HH", head, 58, 64, entries)
    return bytes(head)


def test_a_cache_cut_anywhere_is_broken(tmp_path: Path) -> None:
    assert not is_cache_broken(tmp_path)
    path = tmp_path / "CMakeCache.txt"
    path.write_text(CACHE)
    assert not is_cache_broken(tmp_path)
    for length in range(len(CACHE)):
        path.write_text(CACHE[:length])
        assert is_cache_broken(tmp_path), CACHE[:length]


def test_a_directory_is_configured_when_cache_and_rules_are_there(tmp_path: Path) -> None:
    assert is_half_configured(tmp_path)
    (tmp_path / "CMakeCache.txt").write_text(CACHE)
    assert is_half_configured(tmp_path)
    (tmp_path / "build.ninja").touch()
    assert not is_half_configured(tmp_path)
    # A compiler that was killed while CMake tried it.
    found = tmp_path / "CMakeFiles/3.30.9"
    found.mkdir(parents=True)
    for language in ("CXX", "CUDA"):
        (found / f"CMake{language}Compiler.cmake").touch()
    (found / "CMakeDetermineCompilerABI_CXX.bin").touch()
    assert is_half_configured(tmp_path)
    (found / "CMakeDetermineCompilerABI_CUDA.bin").touch()
    assert not is_half_configured(tmp_path)
    (tmp_path / "CMakeCache.txt").unlink()
    assert is_half_configured(tmp_path)


def test_a_build_directory_knows_where_its_checkout_was(tmp_path: Path) -> None:
    source = tmp_path / "w/source"
    assert moved_from(tmp_path, source) is None
    (tmp_path / "CMakeCache.txt").write_text(CACHE)
    assert moved_from(tmp_path, source) == "/w/source/cpp" and moved_from(tmp_path, Path("/w/source")) is None
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "w")
    (tmp_path / "CMakeCache.txt").write_text(CACHE.replace("/w/source", str(tmp_path / "link/source")))
    assert moved_from(tmp_path, source) is None
    (tmp_path / "CMakeCache.txt").write_text("CMAKE_HOME_DIRECTORY:INTE")
    assert moved_from(tmp_path, source) is None


def test_objects_stay_when_the_configuration_goes(tmp_path: Path) -> None:
    kept = [tmp_path / ".ninja_log", tmp_path / "CMakeFiles/x.dir/a.o", tmp_path / "CMakeFiles/rules.ninja"]
    gone = [tmp_path / "CMakeCache.txt", tmp_path / "CMakeFiles/3.30.9/CMakeCXXCompiler.cmake"]
    for path in [*kept, *gone]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    forget_configuration(tmp_path)
    assert all(path.exists() for path in kept) and not any(path.exists() for path in gone)


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        (elf(64, 2) + bytes(128), False),
        (elf(64, 2) + bytes(127), True),
        (elf(0, 0) + bytes(100), True),
        (elf(64, 2)[:40], True),
        (b"", True),
        (bytes(1000), True),
        (b"!<arch>\n", False),
        (b"BC\xc0\xde bitcode", False),
    ],
)
def test_a_binary_that_was_cut_short(tmp_path: Path, content: bytes, broken: bool) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "a.o"
    path.write_bytes(content)
    (tmp_path / "deep" / "link.o").symlink_to("nowhere")
    (tmp_path / "notes.txt").touch()
    assert list(broken_binaries(tmp_path)) == ([path] if broken else [])
