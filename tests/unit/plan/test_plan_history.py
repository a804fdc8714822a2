"""What earlier builds took: kept, found again, bounded, and never in the way when it is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.plan.history import History, Measured, history_path, read_history, remember

BUILD = Measured("20260801-070643-3f2a", 1785567600.0, "v1.1.0", "89", 8, 5400.0, 40 * 2**30, 50 * 2**30)


def test_a_build_is_found_again_by_release_and_gpus(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert read_history("a/b", environ) == History()
    remember("a/b", BUILD, {"x.o": 3.0, "y.o": 4.0}, environ)
    later = replace(BUILD, run="20260802-070643-3f2b", ended=BUILD.ended + 86400, ref="main", seconds=None)
    remember("a/b", later, {"y.o": 5.5}, environ)
    known = read_history("a/b", environ)
    assert known.seconds == {"x.o": 3.0, "y.o": 5.5} and known.builds == (later, BUILD)
    assert known.like("v1.1.0", "89") == (BUILD,) and known.like("v1.1.0", "90") == ()
    assert BUILD.told == "measured on 2026-08-01 by run 20260801-070643-3f2a"
    # A run that was resumed is one build.
    remember("a/b", replace(later, peak_memory=7), {}, environ)
    assert [one.peak_memory for one in read_history("a/b", environ).builds] == [7, 40 * 2**30]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"schema": 2}', '{"schema": 1, "builds": 3, "seconds": [1]}', "[" * 100000]
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    path = history_path("p", environ)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_history("p", environ) == History()
    remember("p", BUILD, {"a.o": 1.0}, environ)
    assert read_history("p", environ).builds == (BUILD,)


def test_entries_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    remember("p", BUILD, {"a.o": 1.0}, environ)
    path = history_path("p", environ)
    document = json.loads(path.read_text())
    document["builds"] += [{**document["builds"][0], "jobs": "8"}, {**document["builds"][0], "workspace": -1}, 7, {}]
    document["seconds"] |= {"b.o": "x", "c.o": -1, "d.o": 1e99}
    path.write_text(json.dumps(document))
    assert read_history("p", environ) == History((BUILD,), {"a.o": 1.0})
