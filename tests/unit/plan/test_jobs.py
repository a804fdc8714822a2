from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtllm_builder.host.cpu import Cpu
from trtllm_builder.host.memory import Memory, MemoryLimit
from trtllm_builder.plan.jobs import count_jobs

GIB = 2**30


def count(cores: int, memory: Memory, wanted: int | None = None, reserve: int | None = None) -> int:
    return count_jobs(Cpu(cores), memory, wanted=wanted, per_job=6 * GIB, reserve=reserve, origin="test").count


@pytest.mark.parametrize(
    ("cores", "available", "expected"),
    [
        (64, 32, 4),  # the seed's box: (32 - 3.2) / 6
        (2, 512, 2),  # cores decide
        (8, 8, 1),  # (8 - 2) / 6
        (8, 3, 1),  # never none
    ],
)
def test_cores_and_memory(cores: int, available: int, expected: int) -> None:
    assert count(cores, Memory(available * GIB, available * GIB)) == expected


def test_the_cgroup_decides_and_not_the_host() -> None:
    memory = Memory(1024 * GIB, 900 * GIB, (MemoryLimit("/sys/fs/cgroup/memory.max", 32 * GIB, 2 * GIB),))
    jobs = count_jobs(Cpu(128, 16.0, "cpu.max"), memory, wanted=None, per_job=6 * GIB, reserve=None, origin="o")
    assert (jobs.count, jobs.cores) == (4, 16)
    assert (
        "30.0 GiB - 1.5 GiB reserve" in jobs.arithmetic and "the lesser of 16 (cores) and 4 (memory" in jobs.arithmetic
    )
    assert "memory.max" in jobs.memory_source and "quota 16" in jobs.cores_source


def test_a_number_is_taken_and_what_auto_would_say_is_said() -> None:
    jobs = count_jobs(
        Cpu(8), Memory(64 * GIB, 64 * GIB), wanted=2, per_job=6 * GIB, reserve=0, origin="gpugeek-multi.yaml:9:3"
    )
    assert jobs.count == 2 and "auto would give 8" in jobs.arithmetic


@given(st.integers(1, 512), st.integers(0, 4 * 2**40), st.integers(1, 2**36))
def test_never_none_and_never_more_than_fits(cores: int, available: int, per_job: int) -> None:
    jobs = count_jobs(Cpu(cores), Memory(available, available), wanted=None, per_job=per_job, reserve=None, origin="")
    assert 1 <= jobs.count <= cores
    assert jobs.count == 1 or jobs.count * per_job + jobs.reserve <= available
