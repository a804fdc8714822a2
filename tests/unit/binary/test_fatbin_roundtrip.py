"""Fatbins written by a small builder of our own come back as they were meant, whatever their headers hold."""

from __future__ import annotations

import io
import struct
import tracemalloc
from dataclasses import dataclass

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.binary.fatbin import Entry, FatbinError, read_fatbin
from trtllm_builder.binary.fatbin_scout import Scout
from trtllm_builder.binary.kernels import kernel_names, unpacked

KINDS = {"ptx": 1, "cubin": 2, "lto": 8, "other": 4}
FLAGS = {"none": 0, "lz4": 0x2000, "zstd": 0x8000}
SUFFIXES = {"": 0, "a": 0x100000, "f": 0x200000}


@dataclass(frozen=True)
class Code:
    """What an entry is to hold; ``name`` and ``extra`` lengthen its header as real ones are lengthened."""

    kind: str
    sm: int
    suffix: str
    compression: str
    payload: bytes
    name: bytes = b""
    extra: int = 0
    version: tuple[int, int] = (1, 8)

    def packed(self) -> bytes:
        if self.compression == "zstd":
            return zstandard.ZstdCompressor().compress(self.payload)
        return lz4(self.payload) if self.compression == "lz4" else self.payload

    def entry(self) -> bytes:
        packed = self.packed()
        name = self.name + bytes(-len(self.name) % 8)
        header = 64 + len(name) + 8 * self.extra
        padded = packed + bytes(-len(packed) % 8)
        compressed = self.compression != "none"
        return (
            struct.pack(
                "<HHIQIIHHIIIQQQ",
                *(KINDS[self.kind], 0x101, header, len(padded), len(packed) if compressed else 0, 0),
                *(self.version[1], self.version[0], self.sm, 64 if name else 0, len(self.name)),
                *(0x11 | FLAGS[self.compression] | SUFFIXES[self.suffix], 0, len(self.payload) if compressed else 0),
            )
            + name
            + bytes(8 * self.extra)
            + padded
        )

    def told(self) -> tuple[object, ...]:
        return self.kind, self.sm, self.suffix, self.compression, self.version


def lz4(data: bytes) -> bytes:
    """A block with a match wherever the last four bytes were seen before; not small, but with every form of length."""
    out, at, start, seen = bytearray(), 0, 0, dict[bytes, int]()
    while at < len(data) - 12:
        here = data[at : at + 4]
        back = seen.get(here)
        seen[here] = at
        if back is None or at - back > 0xFFFF:
            at += 1
            continue
        length = 4
        while at + length < len(data) - 5 and data[back + length] == data[at + length]:
            length += 1
        out += sequence(data[start:at], at - back, length)
        at += length
        start = at
    return bytes(out + sequence(data[start:], 0, 0))


def sequence(literals: bytes, distance: int, length: int) -> bytes:
    def more(count: int) -> bytes:
        return b"" if count < 15 else b"\xff" * ((count - 15) // 255) + bytes([(count - 15) % 255])

    match = max(0, length - 4)
    token = bytes([min(15, len(literals)) << 4 | min(15, match)]) + more(len(literals)) + literals
    return token + (struct.pack("<H", distance) + more(match) if length else b"")


def frame(codes: list[Code]) -> bytes:
    body = b"".join(code.entry() for code in codes)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


CODES = st.builds(
    Code,
    kind=st.sampled_from(sorted(KINDS)),
    sm=st.integers(20, 199),
    suffix=st.sampled_from(["", "a", "f"]),
    compression=st.sampled_from(["none", "lz4", "zstd"]),
    payload=st.one_of(
        st.binary(max_size=40), st.builds(lambda part, times: part * times, st.binary(max_size=9), st.integers(1, 400))
    ),
    name=st.binary(max_size=20),
    extra=st.integers(0, 6),
    version=st.tuples(st.integers(1, 9), st.integers(0, 9)),
)


@given(st.lists(st.tuples(st.lists(CODES, max_size=4), st.integers(0, 5)), max_size=4), st.integers(1, 400))
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read(frames: list[tuple[list[Code], int]], piece: int) -> None:
    section = b"".join(frame(codes) + bytes(8 * gap) for codes, gap in frames)
    codes = [code for codes, _ in frames for code in codes]
    entries = list(read_fatbin(section))
    assert [(e.kind, e.sm, e.suffix, e.compression, e.version) for e in entries] == [code.told() for code in codes]
    assert [unpacked(section, entry)[: len(code.payload)] for entry, code in zip(entries, codes, strict=True)] == [
        code.payload for code in codes
    ]
    assert list(read_fatbin(io.BytesIO(section))) == entries
    # The same bytes, passing by in pieces after something else: every header is caught.
    caught: dict[int, bytes] = {}
    scout = Scout(caught.__setitem__)
    stream = bytes(range(64)) * 3 + section
    for at in range(0, len(stream), piece):
        scout.feed(stream[at : at + piece])
    headers = {at for at in range(192, len(stream), 8) if stream[at:].startswith(b"\x50\xed\x55\xba\1\0\x10\0")}
    assert headers <= caught.keys()
    assert len(caught) == len(headers) + len(codes)
    assert all(stream.startswith(data, at) for at, data in caught.items())


def cubin(*symbols: tuple[str, int, int]) -> bytes:
    """The part of a cubin that names its functions: symbols are name, ``st_info`` and ``st_other``."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, _, _ in symbols)
    table, at = bytes(24), 1
    for name, info, other in symbols:
        table += struct.pack("<IBBHQQ", at, info, other, 1, 0, 0)
        at += len(name) + 1
    strings, end = 64 + len(table), 64 + len(table) + len(names)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 190, 1, 0, 0, end, 0, 64, 0, 0, 64, 3, 2)
    sections = [(0, 0, 0, 0, 0), (1, 2, 64, len(table), 2), (1, 3, strings, len(names), 0)]
    return (
        head
        + table
        + names
        + b"".join(
            struct.pack("<IIQQQQIIQQ", n, kind, 0, 0, at, size, link, 0, 0, 0) for n, kind, at, size, link in sections
        )
    )


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_kernel_names(compression: str) -> None:
    ptx = (
        b".version 9.0\n.func helper()\n.visible .entry _Z5scalePf(\n.param .u64 p\n)\n.entry plain$1()\n// no .entry\n"
    )
    machine = cubin(("_Z5scalePf", 0x12, 0x10), ("helper", 0x12, 0), ("data", 0x11, 0x10), ("local", 0x02, 0x10))
    data = frame(
        [
            Code("ptx", 89, "", compression, ptx),
            Code("cubin", 90, "a", compression, machine),
            Code("lto", 90, "", compression, b"BC"),
            Code("cubin", 90, "", compression, b"no ELF file"),
        ]
    )
    first, second, third, broken = read_fatbin(data)
    assert kernel_names(data, first) == ("_Z5scalePf", "plain$1")
    assert kernel_names(data, second) == ("_Z5scalePf", "local")
    assert kernel_names(data, third) == ()
    with pytest.raises(FatbinError, match="a cubin cannot be read"):
        kernel_names(data, broken)


@given(st.sampled_from(["lz4", "zstd"]), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_damaged_code_is_an_error_or_as_long_as_said(compression: str, edits: list[tuple[int, int]]) -> None:
    data = bytearray(frame([Code("ptx", 89, "", compression, b"abcdefgh" * 40 + b"ijk")]))
    for at, value in edits:
        data[80 + at % (len(data) - 80)] = value
    (entry,) = read_fatbin(bytes(data))
    try:
        assert len(unpacked(bytes(data), entry)) == entry.unpacked
    except FatbinError as error:
        assert error.offset == entry.offset


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_bombs_cost_what_their_header_says_and_no_more_than_the_limit(compression: str) -> None:
    bomb = Code("ptx", 89, "", compression, b"x" * (1 << 20))
    data = bytearray(frame([bomb]))
    honest = next(iter(read_fatbin(bytes(data))))
    struct.pack_into("<Q", data, 16 + 56, 1 << 10)
    lie = next(iter(read_fatbin(bytes(data))))
    struct.pack_into("<Q", data, 16 + 56, 1 << 40)
    absurd = next(iter(read_fatbin(bytes(data))))
    assert len(unpacked(bytes(data), honest)) == 1 << 20
    for entry in (lie, absurd):
        tracemalloc.start()
        with pytest.raises(FatbinError):
            unpacked(bytes(data), entry)
        assert tracemalloc.get_traced_memory()[1] < 1 << 19
        tracemalloc.stop()


def test_code_cut_off_while_it_is_read() -> None:
    data = frame([Code("ptx", 89, "", "none", b"x" * 80)])
    (entry,) = read_fatbin(data)
    with pytest.raises(FatbinError, match="cut off"):
        unpacked(data[:-8], entry)
    assert isinstance(entry, Entry)
