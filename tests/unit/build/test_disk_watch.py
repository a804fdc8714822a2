"""The growth rule: silent while there is room, a note when there will not be, a stop before the journal cannot be written."""

from __future__ import annotations

import pytest

from trtllm_builder.build.disk_watch import STOP_BELOW, judge_disk

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("free", "pace", "seen", "left"),
    [
        (100 * GIB, 10 * MIB, 600, None),
        (100 * GIB, 10 * MIB, 600, 3600.0),
        (10 * GIB, 0, 600, None),
        (10 * GIB, -5 * MIB, 600, None),
        (GIB, 100 * MIB, 30, None),  # half a minute's pace is one big file, not a pace
    ],
)
def test_no_word_while_there_is_no_reason(free: int, pace: float, seen: float, left: float | None) -> None:
    assert judge_disk(free, pace, seen=seen, left=left) is None


def test_full_before_the_build_ends_is_noted_with_the_time_and_what_is_missing() -> None:
    verdict = judge_disk(10 * GIB, 10 * MIB, seen=600, left=3600)
    assert verdict is not None and not verdict.stop
    assert (
        "in about 16 min" in verdict.text and "35.2 GiB more" in verdict.text and "600.0 MiB a minute" in verdict.text
    )


def test_without_an_end_in_sight_half_an_hour_counts() -> None:
    assert judge_disk(10 * GIB, 5 * MIB, seen=600) is None
    assert judge_disk(9 * GIB, 6 * MIB, seen=600) is not None


@pytest.mark.parametrize("pace", [0.0, -1.0, 1e9])
def test_it_stops_while_something_can_still_be_written(pace: float) -> None:
    verdict = judge_disk(STOP_BELOW - 1, pace, seen=0)
    assert verdict is not None and verdict.stop and "nothing is lost" in verdict.text
    still = judge_disk(STOP_BELOW, 0, seen=0)
    assert still is None
