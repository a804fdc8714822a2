"""ninja's log as its versions write it, damaged, of other programs, and while it grows."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.build.ninja_log import Edge, NinjaLogTail, parse_lines, read_ninja_log, read_outputs


def write(path: Path, *lines: str, version: int = 7) -> Path:
    path.write_text(f"# ninja log v{version}\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_versions_5_to_7_are_read_and_others_are_not(tmp_path: Path) -> None:
    for version in (4, 5, 6, 7, 8):
        path = write(tmp_path / "log", "1\t355\t1795244845115228439\ta.o\tcd87ae20a7f0861c", version=version)
        assert read_ninja_log(path) == ([Edge("a.o", 1, 355)] if 5 <= version <= 7 else [])


def test_a_later_entry_of_an_output_counts_and_a_step_with_two_outputs_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "log", "0\t9\t1\ta.o\tx", "0\t5\t1\tb.h\ty", "0\t5\t1\tb.c\ty", "0\t7\t1\ta.o\tx")
    assert read_ninja_log(path) == [Edge("a.o", 0, 7), Edge("b.h", 0, 5)]
    assert set(read_outputs(path)) == {"a.o", "b.h", "b.c"} and read_outputs(tmp_path) == []


def test_damage_is_passed_over(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log", "9\t5\t1\tbackwards.o\tx", "x\t5\t1\tb.o\ty", "1\t2\t3", "", "0\t99999999999\t1\tl.o\ty",
        "0\t5\t1\t\ty", "0\t1000\t1\tgood.o\ty",
    )  # fmt: skip
    with path.open("ab") as stream:
        stream.write(b"\xff\xfe\x00\n0\t7\t1\tcut.o\t")
    assert read_ninja_log(path) == [Edge("good.o", 0, 1000)]
    assert read_ninja_log(tmp_path / "none") == []
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 9)
    assert read_ninja_log(tmp_path / "binary") == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    assert all(edge.end >= edge.start >= 0 for edge in parse_lines(data))


def test_steps_are_told_as_they_end_and_when_their_ninja_began(tmp_path: Path) -> None:
    path = write(tmp_path / "log", "0\t5\t1\told.o\tx")
    tail = NinjaLogTail(path)
    assert [edge.output for edge in tail.known] == ["old.o"] and tail.read(100.0) == []
    with path.open("a") as stream:
        stream.write("0\t4000\t1\ta.o\tx\n0\t45")
    (a,) = tail.read(105.0)
    assert (a.edge.output, a.ninja, tail.began) == ("a.o", 1, {1: 101.0})
    with path.open("a") as stream:
        stream.write("00\t1\tb.o\ty\n")
    (b,) = tail.read(105.2)
    assert b.edge.end == 4500 and tail.began == {1: 100.7}


def test_another_ninja_and_a_log_written_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "log", "0\t5\t1\told.o\tx")
    tail = NinjaLogTail(path)
    with path.open("a") as stream:
        stream.write("0\t9000\t1\ta.o\tx\n")
    assert [one.ninja for one in tail.read(109.0)] == [1]
    with path.open("a") as stream:
        stream.write("0\t2000\t1\tb.o\tx\n")
    assert [one.ninja for one in tail.read(112.0)] == [2] and tail.began == {1: 100.0, 2: 110.0}
    write(tmp_path / "fresh", "0\t5\t1\told.o\tx", "0\t9000\t1\ta.o\tx", "0\t2000\t1\tb.o\tx", "1\t3000\t1\tc.o\tz")
    (tmp_path / "fresh").replace(path)
    assert [one.edge.output for one in tail.read(113.5)] == ["c.o"]
