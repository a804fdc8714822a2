"""CPU quota and memory limits, on trees of /proc and /sys as rented machines show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from trtllm_builder.host.cgroups import levels
from trtllm_builder.host.cpu import read_cpu
from trtllm_builder.host.memory import read_memory

GIB = 2**30
V1_MEMORY = "36 31 0:33 {root} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"
V1_CPU = "33 31 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
UNLIMITED_V1 = "9223372036854771712"


def machine(root: Path, files: Mapping[str, str], *, total_gib: int = 1007, available_gib: int = 900) -> Path:
    """A host as AutoDL's shows through /proc: a terabyte, whatever the container may use."""
    meminfo = f"MemTotal: {total_gib * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {available_gib * 2**20} kB\n"
    for name, text in {"proc/meminfo": meminfo, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_a_rented_container_with_version_1_is_held_to_its_own_limit(tmp_path: Path) -> None:
    docker = "/docker/0123abcd"
    machine(
        tmp_path,
        {
            "proc/self/cgroup": f"12:memory:{docker}\n4:cpu,cpuacct:{docker}\n1:name=systemd:{docker}",
            "proc/self/mountinfo": V1_MEMORY.format(root=docker) + "\n" + V1_CPU.format(root=docker),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(32 * GIB),
            "sys/fs/cgroup/memory/memory.usage_in_bytes": str(10 * GIB),
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {8 * GIB}",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "800000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    memory = read_memory(tmp_path)
    assert memory.total == 1007 * GIB
    assert memory.allowed == 30 * GIB
    assert memory.allowed_source == "/sys/fs/cgroup/memory/memory.limit_in_bytes: 32.0 GiB, 2.0 GiB in use"
    cpu = read_cpu(tmp_path, affinity=128)
    assert cpu.usable == 8
    assert cpu.quota_source == "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"


def test_the_same_container_with_version_2(tmp_path: Path) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "proc/self/mountinfo": V2.format(root="/"),
            "sys/fs/cgroup/memory.max": str(32 * GIB),
            "sys/fs/cgroup/memory.high": "max",
            "sys/fs/cgroup/memory.current": str(10 * GIB),
            "sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {8 * GIB}",
            "sys/fs/cgroup/cpu.max": "750000 100000",
        },
    )
    assert read_memory(tmp_path).allowed == 30 * GIB
    cpu = read_cpu(tmp_path, affinity=128)
    assert (cpu.quota, cpu.usable) == (7.5, 7)


@pytest.mark.parametrize("name", ["memory.max", "memory.high"])
def test_the_tightest_ancestor_decides_and_both_kinds_of_limit_count(tmp_path: Path, name: str) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/slice/user/job",
            "proc/self/mountinfo": V2.format(root="/"),
            "sys/fs/cgroup/slice/user/job/memory.max": str(64 * GIB),
            "sys/fs/cgroup/slice/user/job/memory.current": str(GIB),
            f"sys/fs/cgroup/slice/user/{name}": str(16 * GIB),
            "sys/fs/cgroup/slice/user/memory.current": str(12 * GIB),
            "sys/fs/cgroup/slice/memory.max": "max",
            "sys/fs/cgroup/slice/user/cpu.max": "max 100000",
            "sys/fs/cgroup/slice/cpu.max": "50000 100000",
        },
    )
    memory = read_memory(tmp_path)
    assert memory.allowed == 4 * GIB
    assert memory.allowed_source.startswith(f"/sys/fs/cgroup/slice/user/{name}: 16.0 GiB")
    assert len(memory.limits) == 2
    cpu = read_cpu(tmp_path, affinity=4)
    assert (cpu.quota, cpu.usable) == (0.5, 1)


def test_unlimited_cgroups_leave_the_machine_s_own_figures(tmp_path: Path) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a\n3:cpu:/a",
            "proc/self/mountinfo": V1_MEMORY.format(root="/"),
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "4096",
            "sys/fs/cgroup/memory/a/memory.stat": f"hierarchical_memory_limit {UNLIMITED_V1}",
        },
    )
    memory = read_memory(tmp_path)
    assert (memory.limits, memory.allowed) == ((), 900 * GIB)
    assert memory.allowed_source == "MemAvailable in /proc/meminfo"
    assert read_cpu(tmp_path, affinity=6).usable == 6


def test_a_limit_above_what_is_free_does_not_decide(tmp_path: Path) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "proc/self/mountinfo": V2.format(root="/"),
            "sys/fs/cgroup/memory.max": str(64 * GIB),
            "sys/fs/cgroup/memory.current": "0",
        },
        available_gib=5,
    )
    assert read_memory(tmp_path).allowed == 5 * GIB


def test_version_1_tells_the_limit_of_ancestors_that_the_container_cannot_see(tmp_path: Path) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/",
            "proc/self/mountinfo": V1_MEMORY.format(root="/"),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": str(GIB),
            "sys/fs/cgroup/memory/memory.stat": f"hierarchical_memory_limit {24 * GIB}\ntotal_inactive_file 0",
        },
    )
    memory = read_memory(tmp_path)
    assert memory.allowed == 23 * GIB
    assert "hierarchical_memory_limit" in memory.allowed_source


@pytest.mark.parametrize("path", ["/kubepods/burstable/pod1/abc", "/../../somewhere"])
def test_a_path_that_is_not_below_the_mount_means_the_mount_itself(tmp_path: Path, path: str) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": f"0::{path}",
            "proc/self/mountinfo": V2.format(root="/"),
            "sys/fs/cgroup/memory.max": str(8 * GIB),
            "sys/fs/cgroup/memory.current": "0",
        },
    )
    assert [level.shown for level in levels("memory", tmp_path)] == ["/sys/fs/cgroup"]
    assert read_memory(tmp_path).allowed == 8 * GIB


def test_hybrid_machines_have_both_versions_mounted(tmp_path: Path) -> None:
    unified = "38 31 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job\n1:cpu:/\n0::/",
            "proc/self/mountinfo": "\n".join(
                (V1_MEMORY.format(root="/"), unified, "23 27 0:22 / /sys rw - sysfs sysfs rw")
            ),
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(3 * GIB),
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(GIB),
            "sys/fs/cgroup/unified/cgroup.controllers": "",
        },
    )
    assert read_memory(tmp_path).allowed == 2 * GIB


def test_mount_points_with_blanks_are_unescaped(tmp_path: Path) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "proc/self/mountinfo": r"30 23 0:26 / /odd\040place rw - cgroup2 cgroup2 rw",
            "odd place/memory.max": str(GIB),
            "odd place/memory.current": "0",
        },
    )
    assert read_memory(tmp_path).allowed == GIB


@pytest.mark.parametrize("version", [1, 2])
def test_a_sandbox_that_hides_the_mounts_is_read_at_the_usual_places(tmp_path: Path, version: int) -> None:
    files = {
        1: {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2 * GIB),
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "0",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        2: {
            "sys/fs/cgroup/cgroup.controllers": "cpu memory",
            "sys/fs/cgroup/memory.max": str(2 * GIB),
            "sys/fs/cgroup/memory.current": "0",
        },
    }[version]
    machine(tmp_path, {"proc/self/mountinfo": "", "proc/self/cgroup": "", **files})
    assert read_memory(tmp_path).allowed == 2 * GIB
    assert read_cpu(tmp_path, affinity=3).usable == 3


def test_more_in_use_than_allowed_leaves_nothing_and_not_less(tmp_path: Path) -> None:
    machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "proc/self/mountinfo": V2.format(root="/"),
            "sys/fs/cgroup/memory.high": str(GIB),
            "sys/fs/cgroup/memory.current": str(2 * GIB),
        },
    )
    assert read_memory(tmp_path).allowed == 0


def test_an_old_kernel_without_memavailable_counts_free_memory_and_caches(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 2 kB\nCached: 30 kB\nHugePages: x\n"
    )
    assert read_memory(tmp_path).allowed == 42 * 1024


def test_this_machine_has_cores_and_memory() -> None:
    assert read_cpu().usable >= 1
    memory = read_memory()
    assert 0 < memory.allowed <= memory.total
