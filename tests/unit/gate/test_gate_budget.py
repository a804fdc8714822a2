"""What is free, from trees of /proc and /sys as machines show them, and from this machine's own cgroup."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trtllm_builder.gate.budget import BudgetReader
from trtllm_builder.host.cgroups import levels

GIB = 2**30


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": f"MemTotal: {64 * 2**20} kB\nMemAvailable: {50 * 2**20} kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def _pod(root: Path, **own: str) -> Path:
    """Version 2, two levels: a pod of 40 GiB with a container in it of 32 GiB."""
    top = "sys/fs/cgroup"
    files = {
        "proc/self/cgroup": "0::/pod/box",
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        f"{top}/pod/memory.max": str(40 * GIB),
        f"{top}/pod/memory.current": str(30 * GIB),
        f"{top}/pod/memory.stat": f"inactive_file {5 * GIB}",
        f"{top}/pod/box/memory.max": str(32 * GIB),
        f"{top}/pod/box/memory.high": "max",
        f"{top}/pod/box/memory.current": str(10 * GIB),
        f"{top}/pod/box/memory.stat": f"inactive_file {4 * GIB}\nanon 1",
    }
    return _tree(root, {**files, **{f"{top}/pod/box/memory.{name}": text for name, text in own.items()}})


def test_without_limits_it_is_what_the_machine_has_left(tmp_path: Path) -> None:
    budget = BudgetReader(2 * GIB, _tree(tmp_path, {}))(0.0)
    assert (budget.free, budget.reserve, budget.pressed_since) == (50 * GIB, 2 * GIB, None)


def test_the_tightest_of_all_ancestors_decides(tmp_path: Path) -> None:
    reader = BudgetReader(GIB, _pod(tmp_path))
    assert reader(0.0).free == 15 * GIB
    _pod(tmp_path, high=str(12 * GIB))
    assert reader(1.0).free == 6 * GIB
    _pod(tmp_path, max=str(5 * GIB))
    assert reader(2.0).free == 0


def test_the_reserve_shrinks_with_a_limit_that_is_lowered(tmp_path: Path) -> None:
    reader = BudgetReader(4 * GIB, _pod(tmp_path))
    expected = {32: 4, 40: 4, 16: 2, 2: 0.5, 0.5: 0.25, 24: 3}
    assert {limit: _pod(tmp_path, max=str(int(limit * GIB))) and reader(0.0).reserve / GIB for limit in expected} == (
        expected
    )
    none = BudgetReader(0, _pod(tmp_path))
    _pod(tmp_path, max=str(GIB))
    assert none(0.0).reserve == 0


def test_pressure_is_remembered_from_when_it_began(tmp_path: Path) -> None:
    calm, bad = "some avg10=9.99 avg60=0.00 avg300=0.00 total=1", "some avg10=10.00 avg60=0.00 avg300=0.00 total=9"
    reader = BudgetReader(GIB, _pod(tmp_path, pressure=calm))
    assert reader(1.0).pressed_since is None
    _pod(tmp_path, pressure=bad)
    assert [reader(now).pressed_since for now in (2.0, 3.0)] == [2.0, 2.0]
    _pod(tmp_path, pressure=calm)
    assert reader(4.0).pressed_since is None
    _pod(tmp_path, pressure=bad)
    assert reader(5.0).pressed_since == 5.0


@pytest.mark.parametrize("text", ["", "some", "some avg10=nonsense", "full avg10=99.0 avg60=0 avg300=0 total=1"])
def test_pressure_that_is_not_told_is_none(tmp_path: Path, text: str) -> None:
    assert BudgetReader(GIB, _pod(tmp_path, pressure=text))(0.0).pressed_since is None


def test_the_machine_s_pressure_counts_where_the_cgroup_tells_none(tmp_path: Path) -> None:
    _pod(tmp_path)
    _tree(tmp_path, {"proc/pressure/memory": "some avg10=35.00 avg60=0.00 avg300=0.00 total=1"})
    assert BudgetReader(GIB, tmp_path)(7.0).pressed_since == 7.0


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory cgroup of version 1 under our own, with a limit of 256 MiB."""
    own = next((level for level in levels("memory") if level.version == 1), None)
    if own is None or not os.access(own.directory, os.W_OK):
        pytest.skip("no memory cgroup of version 1 can be made here: cgroup v1 and root are needed")
    directory = own.directory / f"gate-test-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error.strerror}")
    try:
        (directory / "memory.limit_in_bytes").write_text(str(256 * 2**20))
        yield directory
    finally:
        for _ in range(50):
            try:
                directory.rmdir()
                break
            except OSError:
                time.sleep(0.1)


_INSIDE = """
import os, sys, time
group = sys.argv[1]
open(group + "/cgroup.procs", "w").write(str(os.getpid()))
from trtllm_builder.gate.budget import BudgetReader
reader = BudgetReader(0)
print(reader(0.0).free, flush=True)
ballast = bytearray(os.urandom(1)) * (100 * 2**20)
print(reader(1.0).free, flush=True)
open(group + "/memory.limit_in_bytes", "w").write(str(192 * 2**20))
print(reader(2.0).free, flush=True)
start = time.thread_time()
for _ in range(100):
    reader(3.0)
print((time.thread_time() - start) / 100, flush=True)
"""


def test_a_real_limit_shrinks_with_what_is_held_and_when_it_is_lowered(group: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INSIDE, str(group)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, full, lowered = (int(line) for line in done.stdout.split()[:3])
    assert 180 * 2**20 < before <= 256 * 2**20
    assert before - full == pytest.approx(100 * 2**20, rel=0.1)
    assert full - lowered == pytest.approx(64 * 2**20, rel=0.1)
    # Processor seconds, so that a busy machine fails nothing; about 0.2 ms where this was written.
    assert float(done.stdout.split()[3]) < 0.005
    print(f"{1000 * float(done.stdout.split()[3]):.3f} ms a reading")
