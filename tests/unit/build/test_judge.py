"""What a step at the gate is known by."""

from __future__ import annotations

from pathlib import Path

from trtllm_builder.build.judge import BuildJudge
from trtllm_builder.gate.learned import Learned


def test_links_are_learned_by_what_they_make(tmp_path: Path) -> None:
    judge = BuildJudge(tmp_path, "/nowhere", Learned())
    link = judge.read(["g++", "-shared", "-o", "lib/big.so", "a.o", "b.o"], str(tmp_path))
    assert judge.weigh(link).origin != "measured"
    judge.note(link, 14 * 2**20, 1.0, ())
    later = BuildJudge(tmp_path, "/nowhere", judge.learned)
    again = later.read(["g++", "-shared", "-o", str(tmp_path / "lib/big.so"), "a.o", "b.o", "c.o"], str(tmp_path))
    assert (later.weigh(again).origin, later.weigh(again).bytes) == ("measured", 14 * 2**20)
    other = later.read(["g++", "-o", "lib/small.so", "a.o"], str(tmp_path))
    assert later.weigh(other).origin != "measured"
