"""A child in a real memory cgroup reads that cgroup's limit and quota, not the machine's figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trtllm_builder.host.cgroups import levels

pytestmark = pytest.mark.integration

GIB = 2**30
READ = (
    "import json; from trtllm_builder.host.memory import read_memory; from trtllm_builder.host.cpu import read_cpu\n"
    "memory, cpu = read_memory(), read_cpu(affinity=64)\n"
    "print(json.dumps([memory.allowed, memory.allowed_source, cpu.quota]))"
)


def own(controller: str, needs: str) -> Path:
    """A new cgroup below ours; skips where this machine does not let us make one."""
    if os.geteuid() != 0:
        pytest.skip("making a cgroup takes root")
    found = [level for level in levels(controller) if (level.directory / "cgroup.procs").exists()]
    for level in found:
        directory = level.directory / f"trtllm-builder-test-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        if (directory / needs).exists():
            return directory
        directory.rmdir()
    pytest.skip(
        f"no {controller} cgroup can be made here (a read-only /sys/fs/cgroup, or version 2 without delegation)"
    )


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    directory = own("memory", "memory.limit_in_bytes")
    yield directory
    directory.rmdir()


@pytest.fixture
def cpu_cgroup() -> Iterator[Path]:
    directory = own("cpu", "cpu.cfs_quota_us")
    yield directory
    directory.rmdir()


def child(cgroup: Path) -> tuple[int, str, float | None]:
    """What a Python sees that moved itself into ``cgroup`` before it looked."""
    join = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\n"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", join + READ], env=environ, capture_output=True, text=True, check=True)
    allowed, source, quota = json.loads(done.stdout)
    return allowed, source, quota


def test_a_child_reads_the_limit_that_would_kill_it(memory_cgroup: Path) -> None:
    (memory_cgroup / "memory.limit_in_bytes").write_text(str(GIB))
    allowed, source, _ = child(memory_cgroup)
    assert GIB * 0.9 < allowed < GIB
    assert str(memory_cgroup / "memory.limit_in_bytes") in source


def test_a_limit_in_the_middle_counts_for_what_is_below(memory_cgroup: Path) -> None:
    inner = memory_cgroup / "inner"
    inner.mkdir()
    try:
        (memory_cgroup / "memory.limit_in_bytes").write_text(str(GIB // 2))
        allowed, source, _ = child(inner)
    finally:
        inner.rmdir()
    assert GIB * 0.4 < allowed < GIB // 2
    assert str(memory_cgroup) in source


def test_a_child_reads_its_quota(cpu_cgroup: Path) -> None:
    (cpu_cgroup / "cpu.cfs_quota_us").write_text("150000")
    (cpu_cgroup / "cpu.cfs_period_us").write_text("100000")
    assert child(cpu_cgroup)[2] == 1.5
