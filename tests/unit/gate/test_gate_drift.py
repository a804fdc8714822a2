"""Predicted against measured, kind by kind."""

from __future__ import annotations

from trtllm_builder.gate.drift import drift


def test_kinds_that_were_off_by_most_come_first_with_the_file_that_was() -> None:
    found = drift(
        [
            ("cutlass", "cutlass, by kind", "a.cu", 600, 300),
            ("cutlass", "cutlass, as 1 measured", "b.cu", 400, 800),
            ("cutlass", "measured", "c.cu", 100, 101),
            ("c++", "c++, by kind", "d.cpp", 100, 50),
            ("c", "c, by kind", "e.c", 100, 0),
        ]
    )
    assert [(one.kind, one.origin, one.count, one.predicted, one.measured, one.worst) for one in found] == [
        ("cutlass", "by kind", 2, 500, 550, 2.0), ("cutlass", "measured", 1, 100, 101, 1.01),
        ("c++", "by kind", 1, 100, 50, 0.5),
    ]  # fmt: skip
    assert found[0].worst_source == "b.cu" and found[0].to_json()["kind"] == "cutlass"
    assert drift([]) == ()
