from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.ci.gather import Gathered


def ended(tmp_path: Path, *, run: str, built_by: str, kept: bool = False, code: int = 0) -> Any:
    """What is known after a build of the run ``run`` whose wheel has a record of ``built_by``."""
    record = tmp_path / "x.whl.record.json"
    measured = {"cache": {"hits": 3, "misses": 20}, "peak_memory": 5, "peak_disk": 6}
    record.write_text(json.dumps({"run": built_by, "measured": measured, "wheel": {"name": "x.whl", "size": 7}}))
    gathered = Gathered("toy", "0.1", 100.0)
    gathered.step = "build"
    gathered.event({"event": "run", "id": run, "logs": str(tmp_path)})
    finished = {"wheel": str(tmp_path / "x.whl"), "record": str(record), "kept": kept, "report": {"verdict": "passed"}}
    gathered.event({"event": "finished", **finished})
    gathered.ended(code, b"")
    return gathered.result(130.0)


def test_a_wheel_of_this_run_was_built(tmp_path: Path) -> None:
    one = ended(tmp_path, run="a", built_by="a")
    assert (one.result, one.hits, one.misses, one.peak_memory, one.peak_disk) == ("built", 3, 20, 5, 6)


@pytest.mark.parametrize(("built_by", "kept"), [("a", True), ("b", False)])
def test_one_of_an_earlier_run_was_there_and_its_figures_are_that_runs(
    tmp_path: Path, built_by: str, kept: bool
) -> None:
    one = ended(tmp_path, run="a", built_by=built_by, kept=kept)
    assert (one.result, one.hits, one.misses, one.peak_memory, one.peak_disk) == ("reused", None, None, None, None)
    assert (one.wheel, one.size, one.seconds, one.verdict) == ("x.whl", 7, 30.0, "passed")


def test_one_that_failed_is_neither(tmp_path: Path) -> None:
    assert ended(tmp_path, run="a", built_by="b", code=7).result == "failed"
