from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.binary import unpack
from trtllm_builder.binary.unpack import DEFLATED, STORED, Replay, UnpackError, Unpacking

SIZE = 300_000
CONTENT = bytes(random.Random(1).choices(b"abcdefgh", k=SIZE))


def packed(data: bytes, method: int) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush() if method == DEFLATED else data


@pytest.fixture(scope="module", params=[STORED, DEFLATED], ids=["stored", "deflated"])
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int, int]:
    """Descriptor, size and method of a file that holds a packed member after seven other bytes."""
    path: Path = tmp_path_factory.mktemp("member") / "file"
    data = packed(CONTENT, request.param)
    path.write_bytes(b"x" * 7 + data + b"y" * 7)
    return os.open(path, os.O_RDONLY), len(data), request.param


def replay(member: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, piece: int = 1000) -> Replay:
    monkeypatch.setattr(unpack, "_PACKED", piece)
    monkeypatch.setattr(unpack, "_PIECE", piece)
    monkeypatch.setattr(unpack, "_APART", 20_000)
    descriptor, size, method = member
    made = Replay(Unpacking(descriptor, 7, size, method), SIZE)
    assert b"".join(made.pieces()) == CONTENT
    return made


@given(st.lists(st.tuples(st.integers(0, SIZE + 10), st.integers(0, 70_000)), max_size=12), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_place_can_be_read_again(
    member: tuple[int, int, int], places: list[tuple[int, int]], windows: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = replay(member, patch)
        if windows:
            for at in range(0, SIZE, 1500):
                stream.remember(at, CONTENT[at : at + 64])
        for at, size in places:
            assert stream.seek(at) == at
            assert stream.read(size) == CONTENT[at : at + size]
    assert len(stream.bookmarks) == 1 if member[2] == STORED else len(stream.bookmarks) > 10


def test_seeking_from_the_end_and_on(member: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = replay(member, monkeypatch)
    assert stream.seek(0, 2) == SIZE and stream.read(9) == b""
    assert stream.seek(-5, 2) == SIZE - 5 and stream.read(9) == CONTENT[-5:]
    stream.seek(10)
    assert stream.seek(10, 1) == 20 and stream.read(5) == CONTENT[20:25]


def test_going_to_and_fro_ends(member: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = replay(member, monkeypatch)
    stream.budget = 3 * SIZE
    with pytest.raises(UnpackError, match="to and fro"):
        for turn in range(10_000):
            stream.seek(SIZE - 10 if turn % 2 else 0)
            stream.read(5)


def test_a_far_place_costs_no_more_than_the_way_from_a_bookmark(
    member: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = replay(member, monkeypatch)
    for at in (0, SIZE - 100, 10, SIZE // 2):
        before = stream.budget
        stream.seek(at)
        assert stream.read(10) == CONTENT[at : at + 10]
        assert before - stream.budget < 25_000


def test_windows_are_limited(member: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = replay(member, monkeypatch)
    monkeypatch.setattr(unpack, "_WINDOWS", 2)
    for at in (0, 100, 200):
        stream.remember(at, CONTENT[at : at + 10])
    assert len(stream.windows) == 2
    stream.seek(200)
    assert stream.read(10) == CONTENT[200:210]


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("cut", [1, 5000, 20_000])
def test_what_is_cut_off(tmp_path: Path, cut: int, once: bool) -> None:
    for method in (STORED, DEFLATED):
        data = packed(CONTENT, method)
        path = tmp_path / "file"
        path.write_bytes(data[:-cut])
        descriptor = os.open(path, os.O_RDONLY)
        with pytest.raises(UnpackError, match=r"archive ends within|ends too early"):
            list(Unpacking(descriptor, 0, len(data), method, once=once).pieces())
        os.close(descriptor)


@pytest.mark.parametrize("once", [False, True])
def test_what_follows_the_data_is_counted(tmp_path: Path, once: bool) -> None:
    data = packed(CONTENT, DEFLATED)
    path = tmp_path / "file"
    path.write_bytes(data + b"hidden")
    run = Unpacking(os.open(path, os.O_RDONLY), 0, len(data) + 6, DEFLATED, once=once)
    assert b"".join(run.pieces()) == CONTENT
    assert run.left_over == 6
    os.close(run.descriptor)


@pytest.mark.parametrize("once", [False, True])
def test_one_byte_that_unpacks_to_much_comes_in_pieces(tmp_path: Path, once: bool) -> None:
    path = tmp_path / "file"
    data = packed(bytes(5 << 20), DEFLATED)
    path.write_bytes(data)
    run = Unpacking(os.open(path, os.O_RDONLY), 0, len(data), DEFLATED, once=once)
    sizes = [len(piece) for piece in run.pieces()]
    assert sum(sizes) == 5 << 20 and max(sizes) <= 1 << 20
    os.close(run.descriptor)


@given(
    source=st.binary(max_size=300) | st.binary(max_size=40).map(lambda one: one * 50),
    level=st.sampled_from([0, 1, 9]),
    strategy=st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY]),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_both_ways_to_unpack_agree_also_on_damage(
    tmp_path_factory: pytest.TempPathFactory, source: bytes, level: int, strategy: int, flips: list[tuple[int, int]]
) -> None:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, strategy=strategy)
    data = bytearray(packer.compress(source) + packer.flush())
    for at, value in flips:
        data[at % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "either"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    seen: list[bytes | None] = []
    for once in (False, True):
        try:
            seen.append(b"".join(Unpacking(descriptor, 0, len(data), DEFLATED, once=once).pieces()))
        except UnpackError:
            seen.append(None)
    os.close(descriptor)
    assert seen[0] == seen[1] and (flips or seen[0] == source)
