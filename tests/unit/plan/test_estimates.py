"""What earlier builds took stands in the plan in the place of a guess, with the build it comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trtllm_builder.plan.estimates import disk_estimate, memory_estimate, time_estimate
from trtllm_builder.plan.history import Measured, architectures_of, remember
from trtllm_builder.upstream.catalogue import row_for

GIB = 2**30


def test_measured_figures_take_the_place_of_the_tables(make_request: Any) -> None:
    request = make_request()
    profile = request.loaded.profile
    row = row_for(profile.source.ref)
    assert row is not None
    assert disk_estimate(request, row).high == row.disk.high and memory_estimate(request).high == 0

    build = Measured(
        "20260801-070643-3f2a",
        1785567600.0,
        profile.source.ref,
        architectures_of(profile),
        8,
        5400.5,
        40 * GIB,
        50 * GIB,
    )
    remember(profile.name, build, {}, request.environ)
    disk, time = disk_estimate(request, row), time_estimate(request, row)
    assert (disk.low, disk.high, time.low, time.high) == (50 * GIB, 50 * GIB, 5400, 5401)
    assert disk.source.endswith("measured on 2026-08-01 by run 20260801-070643-3f2a")
    assert "with 8 jobs" in memory_estimate(request).source

    # A resumed one says nothing of the time; one of another release nothing at all.
    later = replace(build, run="20260803-070643-0001", ended=build.ended + 9, jobs=16, seconds=None, workspace=60 * GIB)
    remember(profile.name, later, {}, request.environ)
    remember(profile.name, replace(later, run="20260804-070643-0002", ref="other", workspace=9), {}, request.environ)
    disk, memory = disk_estimate(request, row), memory_estimate(request)
    assert (disk.low, disk.high) == (50 * GIB, 60 * GIB) and disk.source.endswith("0001 and 1 before it")
    assert time_estimate(request, row).source.endswith("3f2a") and "8 to 16 jobs" in memory.source


def test_other_gpus_take_other_room(make_request: Any) -> None:
    request = make_request()
    profile = request.loaded.profile
    row = row_for(profile.source.ref)
    other = Measured("20260801-070643-3f2a", 1.0, profile.source.ref, "12, 34", 8, 1.0, 1, 1)
    remember(profile.name, other, {}, request.environ)
    assert row is not None and disk_estimate(request, row).low == row.disk.low
