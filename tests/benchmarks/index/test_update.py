"""How long one more wheel takes in an index of 2,000, with our own command and a fresh process.

The index: ten variants of ours with 190 wheels each, and 100 other projects, all of which stand in every variant's tree
too; its files are only named, since no publisher reads those of others. Per page that changes the publisher waits for
the disk (fsync), so that a busy disk shows: the part of the processor is told beside the whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.index.model import Index, Lock, Needs, Wheel
from trtllm_builder.index.opening import make_index, open_index
from trtllm_builder.index.store import taking_turn

_PATH = Path(__file__).parents[2] / "unit" / "publish" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("publish_toys", _PATH)
assert _SPEC and _SPEC.loader
_TOYS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TOYS)
make_wheel, make_build, library, environ = _TOYS.make_wheel, _TOYS.make_build, _TOYS.library, _TOYS.environ
ROUNDS = 7


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """The index holds 2,000 wheels before the first round."""

    def entry(project: str, version: str, tag: str, **more: object) -> Wheel:
        filename = f"{project.replace('-', '_')}-{version}-{tag}.whl"
        digest = hashlib.sha256(filename.encode()).hexdigest()
        when = "2026-01-01T00:00:00.000000Z"
        needs = Needs("CPython 3.12", "2.28", (13,), "580.65.06", ("sm_89",), (), "torch>=2.9")
        return Wheel(project, version, filename, digest, 1 << 30, when, digest, ">=3.10, <4", "verified", needs=needs)

    ours = [
        entry("tensorrt-llm", f"1.{number}.0+sd.cu130.sm{80 + variant}", "cp312-cp312-linux_x86_64")
        for variant in range(10)
        for number in range(190)
    ]
    ours = [Wheel(**{**one.__dict__, "lock": Lock(one.sha256, False)}) for one in ours]
    others = [entry(f"other-{number}", "1.0", "py3-none-any") for number in range(100)]
    root = tmp_path / "index"
    with taking_turn(make_index(root)) as turn:
        turn.show(Index((*ours, *others)))
    assert len(open_index(root).read().wheels) == 2000
    return root


def test_one_more_wheel(large: Path, make_build: Callable[..., Path], environ: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "trtllm_builder", "publish", "--index", str(large)]
    empty = [*words[:-1], str(tmp_path / "empty")]
    for title, command in (("an index of 2,000 wheels", words), ("an empty one", empty)):
        wall, busy = [], []
        for number in range(ROUNDS):
            wheel = make_build(f"2.{number}.0+sd.cu130.sm89")
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            begun = time.perf_counter()
            subprocess.run([*command, str(wheel)], env=environ, check=True, capture_output=True)
            wall.append(time.perf_counter() - begun)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            busy.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        told = [f"{statistics.median(one):.2f} s ({min(one):.2f} to {max(one):.2f})" for one in (wall, busy)]
        load = os.getloadavg()[0]
        print(f"\none more wheel into {title}: {told[0]} by the clock, {told[1]} of processor, load {load:.1f}")
