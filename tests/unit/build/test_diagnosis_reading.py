"""Lines from logs of any size and shape: right numbers, bounded memory, never a traceback."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.build.diagnosis import reading
from trtllm_builder.build.diagnosis.engine import diagnose, diagnose_stream
from trtllm_builder.build.diagnosis.reading import HotLines, plain, unpacked

NOISE = b"[1/2] Building CUDA object cpp/a.cu.o\n"
ERROR = b"a.cpp:1:10: fatal error: zmq.h: No such file or directory\n"


def open_(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]


def hot(data: bytes) -> list[tuple[int, str]]:
    return list(HotLines(io.BytesIO(data)))


@pytest.mark.parametrize("before", [0, 1, 27_593, 27_594, 27_595, 60_000])
def test_numbers_are_those_of_an_editor_across_blocks(before: int) -> None:
    # 38 bytes a line: the middle three put the line around the edge of the first block of a mebibyte.
    (found,) = hot(NOISE * before + ERROR + NOISE * 3)
    assert found == (before + 1, ERROR.decode().strip())


def test_a_log_without_a_last_newline_is_read_to_its_end() -> None:
    lines = HotLines(io.BytesIO(NOISE * 2 + ERROR.strip()))
    assert list(lines) == [(3, ERROR.decode().strip())]
    assert lines.count == 3 and lines.tail[-1][0] == 3


def test_progress_bars_are_one_line_and_windows_ends_are_none() -> None:
    assert hot(b"10%\r20%\r30%\nfatal: gone\r\n") == [(2, "fatal: gone")]
    assert hot(b"10%\rfatal: gone\r20%\n") == [(1, "fatal: gone")]


@pytest.mark.parametrize("at", [0, 500_000, 1_048_560, 2_999_000])
def test_in_a_line_of_megabytes_the_surroundings_are_read(at: int) -> None:
    line = b"x" * at + b" fatal: unable to access 'https://github.com/a/b.git/': gone " + b"y" * (3_000_000 - at)
    found = hot(NOISE + line + b"\n" + ERROR)
    assert found[0][0] == 2 and "unable to access" in found[0][1] and len(found[0][1]) < 10_000
    assert found[-1] == (3, ERROR.decode().strip())


def test_a_message_of_cmake_is_read_to_its_end_also_across_blocks() -> None:
    message = (
        b"CMake Error at CMakeLists.txt:3 (find_package):\n  By not providing it this\n\n    quiet words\n-- quiet\n"
    )
    filler = b"-" * 37 + b"\n"
    for rest in range(20, 200, 30):
        lines = (2**20 - rest) // len(filler)
        found = hot(filler * lines + b"q" * ((2**20 - rest) % len(filler)) + b"\n" + message + b"fatal: end\n")
        assert [number - found[0][0] for number, _ in found] == [0, 1, 2, 3, 5]


class Endless(io.RawIOBase):
    """``size`` bytes out of one buffer, so that a big log costs no memory here."""

    def __init__(self, block: bytes, times: int) -> None:
        self.blocks: Iterator[bytes] = iter([block] * times)

    def read(self, size: int = -1, /) -> bytes:
        return next(self.blocks, b"")


@pytest.mark.parametrize("line", [NOISE, ERROR, b"error: " + b"z" * 100_000 + b"\n", b"no newline at all error: "])
def test_memory_does_not_grow_with_the_log(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 2**14)
    monkeypatch.setattr(reading, "_ENOUGH", 200)
    block = (line * (2**14 // len(line) + 1))[: 2**14]
    peaks = []
    for times in (4, 16):
        tracemalloc.start()
        diagnose(HotLines(Endless(block, times)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2 + 100_000 and peaks[1] < 4 * 2**20


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_logs_are_read_and_a_cut_one_to_where_it_is_cut(pack: object) -> None:
    rubbish = random.Random(1).randbytes(60_000).hex().encode()
    packed = pack(ERROR + rubbish)  # type: ignore[operator]
    assert hot_of(packed)[0][0] == 1
    lines = HotLines(unpacked(open_(packed[: len(packed) // 2])))
    list(lines)
    assert lines.broken or pack is bz2.compress


def hot_of(data: bytes) -> list[tuple[int, str]]:
    return list(HotLines(unpacked(open_(data))))


def test_what_an_earlier_run_wrote_is_counted_and_not_judged() -> None:
    earlier = ERROR * 3
    found = diagnose_stream(open_(earlier + NOISE + b"Killed\n"), skip=len(earlier))
    assert found.first.id == "killed" and found.first.lines[0].number == 5


def test_credentials_and_escapes_do_not_come_out() -> None:
    line = b"fatal: unable to access 'https://me:secret@github.com/a/b.git/': gone\x1b[2J\x07\n"
    assert hot(line) == [(1, "fatal: unable to access 'https://***@github.com/a/b.git/': gone")]


@pytest.mark.parametrize(
    ("stamped", "text"),
    [
        ("2026-03-02T10:15:07.123456789Z Killed", "Killed"),
        ("[2026-03-02T10:15:07.123Z] Killed", "Killed"),
        ("2026-03-02 10:15:07,123 Killed", "Killed"),
        ("2026-03-02T10:15:07+02:00 stdout F Killed", "Killed"),
        ("#25 2528.0   indented", "  indented"),
        ("717.7 Killed", "Killed"),
        ("10:15:07 Killed", "Killed"),
        ("Mar  2 10:15:07 host build[77]: Killed", "Killed"),
        ("build\tRun it\t2026-03-02T10:15:07.1234567Z Killed", "Killed"),
        ("#25 1.0 1444.0 Killed", "Killed"),
        ("3.5", ""),
        ("CMake 3.27 or higher is required.", "CMake 3.27 or higher is required."),
        ("a.cpp:10:15: error: x", "a.cpp:10:15: error: x"),
    ],
)
def test_stamps_go_and_nothing_else(stamped: str, text: str) -> None:
    assert plain(stamped.encode()) == text


PIECES = [
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\x00",
        b"\xff\xfe",
        b"\x1b[31m",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"'",
        b"{x}",
        b"%s",
    ),
    *(
        b"CMake Error at a:1 (b):\n  ",
        b"FAILED: a.o\n",
        b"Killed\n",
        b"fatal error: ",
        b"No space left on device",
        b"  ",
    ),
    *(
        b"-- Build files have been written to: /b\n",
        b"make: *** [a: b] Error 137\n",
        b"error: ",
        b"2026-01-01T00:00:00Z ",
    ),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=60))
def test_rubbish_is_diagnosed_without_a_traceback(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    found = diagnose_stream(open_(data))
    lines = data.count(b"\n") + 1
    assert found.first.sentence
    if data[:2] not in (b"\x1f\x8b", b"BZ", b"\xfd7", b"\xff\xfe", b"\xfe\xff"):
        assert all(1 <= line.number <= lines for line in found.first.lines)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=40), st.integers(16, 200))
def test_the_size_of_a_block_changes_no_number(pieces: list[bytes], size: int) -> None:
    """Small blocks, where every line is cut somewhere; lines longer than a block aside."""
    data = b"\n".join(b"".join(pieces).split(b"\n"))
    whole = hot(data)
    before = reading._BLOCK
    try:
        reading._BLOCK = size
        small = hot(data)
    finally:
        reading._BLOCK = before
    longest = max(map(len, data.split(b"\n")))
    if longest < size:
        assert small == whole


def test_an_indented_line_further_down_is_not_glued_to_a_message_of_cmakes() -> None:
    log = b"CMake Error: the thing stopped\nTraceback\n  innocent\n    raise CalledProcessError(1,\nnot it\n"
    found = diagnose_stream(io.BufferedReader(io.BytesIO(log)))  # type: ignore[arg-type]
    assert found.first.sentence == "CMake stopped: the thing stopped"
