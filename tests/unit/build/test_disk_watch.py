"""The growth rule: silent while there is room, a note when there will not be, a stop before nothing can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.build.disk_watch import DiskWatch, judge_disk
from trtllm_builder.build.progress import Progress
from trtllm_builder.errors import HostError

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
    assert judge_disk(free, pace, total=200 * GIB, seen=seen, left=left) is None


def test_full_before_the_build_ends_is_noted_with_the_time_and_what_is_missing() -> None:
    verdict = judge_disk(10 * GIB, 10 * MIB, total=200 * GIB, seen=600, left=3600)
    assert verdict is not None and not verdict.stop
    assert "in about 16 min" in verdict.text and "25.2 GiB more" in verdict.text
    assert "600.0 MiB a minute" in verdict.text


def test_without_an_end_in_sight_half_an_hour_counts() -> None:
    assert judge_disk(10 * GIB, 5 * MIB, total=200 * GIB, seen=600) is None
    assert judge_disk(9 * GIB, 6 * MIB, total=200 * GIB, seen=600) is not None


@pytest.mark.parametrize("pace", [0.0, -1.0, 1e9])
@pytest.mark.parametrize(("total", "kept"), [(200 * GIB, 64 * MIB), (50 * MIB, MIB)])
def test_it_stops_while_something_can_still_be_written(total: int, kept: int, pace: float) -> None:
    verdict = judge_disk(kept - 1, pace, total=total, seen=0)
    assert verdict is not None and verdict.stop and "nothing is lost" in verdict.text
    assert judge_disk(kept, 0, total=total, seen=0) is None


def test_the_watch_takes_the_pace_of_the_last_minutes_and_repeats_itself_seldom(tmp_path: Path) -> None:
    watch = DiskWatch(tmp_path)
    told = [
        (at, watch.look(Progress(elapsed=at, disk_free=round(20 * GIB - max(0, at - 1000) * 20 * MIB))))
        for at in range(0, 2000, 10)
    ]
    notes = [(at, note) for at, note in told if note]
    # Quiet for a thousand seconds, then 20 MiB a second: full within half an hour as soon as the pace shows.
    assert 1000 < notes[0][0] < 1300 and len(notes) in (2, 3, 4)
    assert str(tmp_path) in notes[0][1] and "goes on from there" in notes[0][1]
    with pytest.raises(HostError, match="stopped before it is full") as stop:
        watch.look(Progress(elapsed=2000, disk_free=1000))
    assert "stays compiled" in stop.value.remedy
