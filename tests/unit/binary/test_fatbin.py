from __future__ import annotations

import mmap
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.binary import fatbin
from trtllm_builder.binary.fatbin import FatbinError, read_fatbin

DATA = Path(__file__).parents[2] / "data" / "fatbin"
MANY = (DATA / "many.fatbin").read_bytes()
LZ4 = (DATA / "lz4.fatbin").read_bytes()
PLAIN = (DATA / "plain.fatbin").read_bytes()


def seen(data: bytes) -> list[tuple[str, str, str]]:
    return [(entry.kind, entry.target, entry.compression) for entry in read_fatbin(data)]


def test_tells_family_and_specific_code_apart() -> None:
    assert seen(MANY) == [
        ("cubin", "sm_80", "zstd"),
        ("cubin", "sm_89", "zstd"),
        ("ptx", "compute_89", "zstd"),
        ("cubin", "sm_90a", "zstd"),
        ("cubin", "sm_100f", "zstd"),
        ("cubin", "sm_120", "zstd"),
    ]


def test_other_compressions_and_lto() -> None:
    assert seen(LZ4) == [("cubin", "sm_89", "lz4"), ("ptx", "compute_89", "lz4"), ("lto", "compute_89", "lz4")]
    assert seen(PLAIN) == [("cubin", "sm_89", "none"), ("ptx", "compute_89", "none")]


def test_offsets_and_sizes_are_those_of_the_payload() -> None:
    cubin, ptx = read_fatbin(PLAIN)
    assert PLAIN[cubin.offset : cubin.offset + 4] == b"\x7fELF"
    assert b".target sm_89" in PLAIN[ptx.offset : ptx.offset + ptx.size]
    packed = next(iter(read_fatbin(MANY)))
    assert MANY[packed.offset : packed.offset + 4] == b"\x28\xb5\x2f\xfd"  # RFC 8878
    assert (packed.size, packed.unpacked) == (773, 2984)


def test_several_frames_with_padding_between(tmp_path: Path) -> None:
    section = MANY + bytes(24) + PLAIN + bytes(5000)
    assert seen(section) == seen(MANY) + seen(PLAIN)
    file = tmp_path / "library"
    file.write_bytes(b"x" * 100 + section + b"y" * 100)
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        mapped = list(read_fatbin(data, 100, 100 + len(section)))
        assert len(mapped) == 8
        assert list(read_fatbin(stream, 100, 100 + len(section))) == mapped


def test_nothing_is_no_error() -> None:
    assert seen(b"") == []
    assert seen(bytes(64)) == []
    assert seen(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 0)) == []  # nvcc writes such a frame for PTX alone


@pytest.mark.parametrize(
    ("patch", "message", "offset"),
    [
        ((0, "<I", 0xDEADBEEF), "magic", 0),
        ((4, "<H", 2), "version 2", 0),
        ((6, "<H", 8), "header of 8", 0),
        ((8, "<Q", 2**63), "beyond its section", 0),
        ((16 + 4, "<I", 0), "too short", 16),
        ((16 + 8, "<Q", 2**63), "beyond its frame", 16),
        ((16 + 16, "<I", 2**31), "has room for", 16),
        ((16 + 28, "<I", 0), "SM 0", 16),
    ],
)
def test_a_lie_is_an_error_with_its_place(patch: tuple[int, str, int], message: str, offset: int) -> None:
    data = bytearray(MANY)
    struct.pack_into(patch[1], data, patch[0], patch[2])
    with pytest.raises(FatbinError, match=message) as caught:
        list(read_fatbin(data))
    assert caught.value.offset == offset


def test_a_section_outside_the_file() -> None:
    for start, end in ((0, len(MANY) + 1), (-1, 10), (20, 10)):
        with pytest.raises(FatbinError, match="outside"):
            list(read_fatbin(MANY, start, end))


@given(st.integers(1, len(MANY) - 1))
@settings(max_examples=60, deadline=None)
def test_cut_off_anywhere(length: int) -> None:
    with pytest.raises(FatbinError):
        list(read_fatbin(MANY[:length]))


@given(
    st.sampled_from([MANY, LZ4, PLAIN, MANY + PLAIN]),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_mutations_end_in_entries_or_in_our_error(sample: bytes, edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(sample)
    for at, new in edits:
        at %= len(data)
        data[at : at + len(new)] = new
    try:
        entries = list(read_fatbin(data))
    except FatbinError as error:
        assert 0 <= error.offset <= len(data)
    else:
        assert all(entry.offset + entry.size <= len(data) for entry in entries)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes(data: bytes) -> None:
    try:
        list(read_fatbin(data))
    except FatbinError:
        return
    assert not data.strip(b"\0") or data[:4] == b"\x50\xed\x55\xba" or data.lstrip(b"\0")[:4] == b"\x50\xed\x55\xba"


def test_endless_empty_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fatbin, "MAX_ENTRIES", 1000)
    entry = struct.pack("<HHIQIIHHIIIQQQ", 2, 0x101, 64, 0, 0, 0, 7, 1, 89, 0, 0, 0x11, 0, 0)
    count = 1001
    data = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, count * 64) + entry * count
    with pytest.raises(FatbinError, match="more than"):
        for _ in read_fatbin(data):
            pass
