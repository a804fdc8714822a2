"""Killed for memory is what a counter says, and nothing else: version 1, version 2, ancestors, none to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.build.diagnosis.engine import diagnose
from trtllm_builder.build.diagnosis.model import Diagnosis
from trtllm_builder.build.evidence import Evidence, Jobs, gather, snapshot
from trtllm_builder.gate.job import Killed
from trtllm_builder.host.disk import Disk
from trtllm_builder.host.kills import oom_groups
from trtllm_builder.host.memory import MemoryLimit

GIB = 2**30


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def version2(root: Path, own: int, above: int, host: int = 0) -> None:
    write(root, {
        "proc/self/cgroup": "0::/pod/build\n",
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 60000000 kB\n",
        "proc/vmstat": f"nr_free_pages 1\noom_kill {host}\n",
        "sys/fs/cgroup/pod/memory.events": f"low 0\noom 9\noom_kill {above}\noom_group_kill 0\n",
        "sys/fs/cgroup/pod/build/memory.events": f"oom_kill {own}\n",
        "sys/fs/cgroup/pod/build/memory.max": str(16 * GIB),
        "sys/fs/cgroup/pod/build/memory.current": str(GIB),
    })  # fmt: skip


def version1(root: Path, own: int, host: int = 0) -> None:
    write(root, {
        "proc/self/cgroup": "4:memory:/pod\n",
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
        "proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 60000000 kB\n",
        "proc/vmstat": f"oom_kill {host}\n",
        "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n",
        "sys/fs/cgroup/memory/pod/memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {own}\n",
        "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": str(4 * GIB),
    })  # fmt: skip


def bare(root: Path, host: int | None = None) -> None:
    files = {"proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable: 60000000 kB\n", "proc/vmstat": "nr_free_pages 1\n"}
    if host is not None:
        files["proc/vmstat"] = f"oom_kill {host}\n"
    write(root, files)


@pytest.mark.parametrize(
    ("earlier", "later", "killed", "source"),
    [
        (lambda r: version2(r, 3, 3), lambda r: version2(r, 5, 5), 2, "/sys/fs/cgroup/pod/build/memory.events"),
        (lambda r: version2(r, 3, 3), lambda r: version2(r, 3, 4), 1, "/sys/fs/cgroup/pod/memory.events"),
        (lambda r: version2(r, 3, 3), lambda r: version2(r, 3, 3, 7), 0, "did not rise"),
        (lambda r: version1(r, 0), lambda r: version1(r, 1), 1, "/sys/fs/cgroup/memory/pod/memory.oom_control"),
        (lambda r: version1(r, 2), lambda r: version1(r, 2), 0, "did not rise"),
        (lambda r: version1(r, 2), lambda r: version1(r, 2, 5), None, "may be another's"),
        (lambda r: bare(r, 10), lambda r: bare(r, 12), 2, "/proc/vmstat"),
        (lambda r: bare(r, 10), lambda r: bare(r, 10), 0, "/proc/vmstat"),
        (bare, bare, None, "can be read here"),
    ],
)
def test_counters(
    tmp_path: Path,
    earlier: Callable[[Path], None],
    later: Callable[[Path], None],
    killed: int | None,
    source: str,
) -> None:
    earlier(tmp_path)
    before = snapshot(tmp_path)
    later(tmp_path)
    found = gather(before, returncode=1, root=tmp_path)
    assert found.killed == killed and source in found.killed_source
    assert found.most_memory == (16 * GIB if "pod/build" in str(before.limit) else found.most_memory)


LIMIT = MemoryLimit("/sys/fs/cgroup/memory.max", 16 * GIB, 0)
SEEN = Evidence(1, 1, "oom_kill in memory.events", LIMIT, 64 * GIB, 15 * GIB, Jobs(8, "--jobs", gate=False))
KILLED = [(1, "FAILED: k.dir/fmha.cu.o"), (2, "Killed")]
REFUSED = [(1, "a.cpp:1:10: fatal error: zmq.h: No such file or directory")]


def judge(evidence: Evidence, log: list[tuple[int, str]] = KILLED) -> Diagnosis:
    return diagnose(log, evidence)


def test_killed_with_the_counter_risen_names_file_limit_and_what_fits() -> None:
    found = judge(SEEN)
    assert found.first.id == "out-of-memory"
    for said in ("fmha.cu", "16.0 GiB", "/sys/fs/cgroup/memory.max", "rose by 1"):
        assert said in found.first.sentence
    assert found.first.remedy.startswith("8 compilers at once did not fit; leave out --jobs")
    assert "or give --jobs 4" in found.first.remedy and "job_memory" not in found.first.remedy
    assert any("15.0 GiB of memory at its peak" in line for line in found.evidence)
    assert [line.number for line in found.first.lines] == [1, 2]


def test_one_job_that_does_not_fit_gets_no_smaller_number() -> None:
    found = judge(replace(SEEN, jobs=Jobs(1, "--jobs", gate=False), limit=None))
    assert "one compiler alone does not fit into 64.0 GiB" in found.first.remedy and "--jobs" not in found.first.remedy
    assert "all of this machine" in found.first.sentence


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        (Jobs(8, "build.jobs", gate=False), "set build.jobs: auto in the profile"),
        (Jobs(8, "", gate=False), "have ccache or CMake 3.24"),
        (Jobs(8, "", gate=True), "what was measured is known now"),
        (None, "leave out --jobs, or set build.jobs: auto"),
    ],
)
def test_the_gate_is_the_remedy_where_it_was_not_there(jobs: Jobs | None, said: str) -> None:
    remedy = judge(replace(SEEN, jobs=jobs)).first.remedy
    assert said in remedy and "job_memory" not in remedy
    assert "build.jobs: auto" in diagnose(KILLED).first.remedy


def test_a_client_that_was_killed_is_no_compiler() -> None:
    seen = replace(SEEN, killed=0, killed_source="oom_kill in memory.events did not rise", lost=("cpp/k/fmha.cu",))
    first = judge(seen).first
    assert (
        first.sentence.startswith("The gate's client, which watched the compiler of")
        and "did not rise" in first.sentence
    )
    assert "ask there" in first.remedy
    assert "client" not in judge(replace(seen, lost=("cpp/other.cu",))).first.sentence
    # ccache makes of the signal an exit status of its own, and nothing in the log says "Killed".
    silent = [
        "FAILED: [code=255] x/fmha.cu.o",
        "nvcc -c fmha.cu -o x/fmha.cu.o",
        "ninja: build stopped: subcommand failed.",
    ]
    assert "watched the compiler of fmha.cu, was killed" in diagnose(list(enumerate(silent, 1)), seen).first.sentence


def test_without_the_counter_it_is_not_called_memory() -> None:
    not_risen = judge(replace(SEEN, killed=0, killed_source="oom_kill in memory.events did not rise"))
    assert not_risen.first.id == "killed" and "not by the kernel for lack of memory" in not_risen.first.sentence
    unseen = judge(replace(SEEN, killed=None, killed_source="neither counter can be read here"))
    assert "could not be seen, because neither counter can be read here" in unseen.first.sentence
    alone = diagnose(KILLED)
    assert alone.first.id == "killed" and "probably" in alone.first.sentence and "a log alone" in alone.first.sentence


def test_a_crash_stays_a_crash_whatever_the_counter_says() -> None:
    log = [
        (1, "FAILED: k.dir/a.cu.o"),
        (2, "nvcc error   : 'cudafe++' died due to signal 11 (Invalid memory reference)"),
    ]
    for killed in (0, None):
        assert judge(replace(SEEN, killed=killed), log).first.id == "compiler-crashed"
    both = judge(SEEN, log)
    assert both.first.id == "compiler-crashed" and [other.id for other in both.others] == ["out-of-memory"]


def test_a_build_tool_that_ended_without_a_word_was_killed_for_memory_when_the_counter_rose() -> None:
    gone = list(
        enumerate(["Subprocess killed", "CMake Error: execution of make failed. Make command was: ninja all"], 1)
    )
    found = judge(SEEN, gone)
    assert found.first.id == "out-of-memory" and [other.id for other in found.others] == ["build-tool-ended"]
    found = judge(replace(SEEN, killed=0), gone)
    assert found.first.sentence == "ninja ended without a word (killed?)." and "resume" in found.first.remedy


def test_a_kill_that_the_log_is_silent_about_is_told() -> None:
    silent = [(1, "subprocess.CalledProcessError: Command 'cmake' returned non-zero exit status 1.")]
    assert judge(SEEN, silent).first.id == "out-of-memory"
    assert judge(replace(SEEN, returncode=-9, killed=0), silent).first.id == "killed"
    assert judge(replace(SEEN, killed=0), silent).first.id == "unknown"
    # A cause that is certain leads; the kill of something else is told beside it.
    found = judge(SEEN, REFUSED)
    assert found.first.id == "header-missing" and found.others[0].id == "out-of-memory"


@pytest.mark.parametrize(("free", "inodes"), [(4096, 10**6), (50 * GIB, 3)])
def test_a_full_disk_that_the_log_does_not_name(free: int, inodes: int) -> None:
    """CMake on a full disk complains of an unknown extension (recorded: disk-cmake.log)."""
    disk = Disk("/data", free, 100 * GIB, 1, True, inodes)
    evidence = replace(SEEN, killed=0, disks=(("/data/workspace", disk),))
    log = [(1, "CMake Error at CMakeDetermineCompilerABI.cmake:57 (try_compile):"), (2, '  Unknown extension ".cpp"')]
    found = judge(evidence, log)
    assert found.first.id == "disk-full" and "/data/workspace" in found.first.sentence and found.first.host
    assert ("no more files" in found.first.sentence) == (inodes == 3)
    assert judge(evidence, REFUSED).first.id == "header-missing"
    assert (
        judge(replace(evidence, disks=(("/d", replace(disk, free=GIB, free_inodes=None)),)), log).first.id
        == "cmake-error"
    )


def test_the_real_machine_can_be_asked(tmp_path: Path) -> None:
    found = gather(snapshot(), returncode=0, directories=(tmp_path, tmp_path / "gone", Path("/proc")))
    assert found.total > 0 and found.disks[0][1].free > 0
    assert len({disk.device for _, disk in found.disks}) == len(found.disks)
    assert all(isinstance(line, str) and line.endswith(".") for line in found.sentences)


def test_killed_also_alone_names_it_and_what_would_fit_instead_of_fewer_jobs() -> None:
    seen = replace(SEEN, killed=2, mended=1, alone=(Killed("cpp/big.cu", 15 * GIB, "oom_kill in memory.events"),))
    found = judge(seen)
    assert found.first.id == "out-of-memory" and found.first.step == "cpp/big.cu" and not found.others
    for said in ("cpp/big.cu", "twice", "15.0 GiB when it was killed", "16.0 GiB (/sys/fs/cgroup/memory.max)"):
        assert said in found.first.sentence
    assert "24 GiB" in found.first.remedy and "--jobs" not in found.first.remedy
    assert any("1 of them was a compiler that ran once more" in line for line in found.evidence)


def test_the_one_that_was_killed_is_named_and_not_those_that_were_refused_before_it() -> None:
    refused = "not compiled: another compiler was killed for lack of memory, also by itself"
    log = ["FAILED: [code=1] k.dir/gemm.cu.o", "client nvcc gemm.cu", refused,
           "FAILED: [code=137] k.dir/layerNorm.cu.o", "client nvcc layerNorm.cu", "Killed",
           "FAILED: [code=1] k.dir/top.cu.o", "client nvcc top.cu", refused]  # fmt: skip
    first = diagnose(list(enumerate(log, 1))).first
    assert first.step == "layerNorm.cu" and [line.number for line in first.lines] == [4, 6]


def test_a_limit_that_was_lowered_is_the_one_that_killed(tmp_path: Path) -> None:
    version2(tmp_path, 0, 0)
    before = snapshot(tmp_path)
    write(tmp_path, {"sys/fs/cgroup/pod/build/memory.max": str(2 * GIB)})
    counter = "oom_kill in memory.events"
    alone = (Killed("big.cu", 1 * GIB, counter, known=7 * GIB), Killed("b.cu", GIB, counter))
    found = judge(gather(before, returncode=1, alone=alone, root=tmp_path))
    assert "2.0 GiB (/sys/fs/cgroup/pod/build/memory.max, lowered from 16.0 GiB since" in found.first.sentence
    assert "big.cu (and b.cu)" in found.first.sentence and "took 7.0 GiB in an earlier build" in found.first.sentence
    assert "gives the build 9 GiB" in found.first.remedy
    assert any("lowered from 16.0 GiB" in line for line in found.evidence)
    nothing = judge(gather(before, returncode=1, alone=alone[1:], root=tmp_path))
    assert "gives the build 3 GiB" in nothing.first.remedy


def test_a_kill_that_was_mended_is_not_why_a_build_failed() -> None:
    found = judge(replace(SEEN, mended=1), REFUSED)
    assert found.first.id == "header-missing" and not found.others
    unmended = judge(replace(SEEN, killed=2, mended=1), REFUSED)
    assert [one.id for one in unmended.others] == ["out-of-memory"]


def test_cgroups_of_which_a_kill_takes_all(tmp_path: Path) -> None:
    version2(tmp_path, 0, 0)
    assert oom_groups(tmp_path) == ()
    write(tmp_path, {"sys/fs/cgroup/pod/memory.oom.group": "1\n", "sys/fs/cgroup/pod/build/memory.oom.group": "0\n"})
    assert oom_groups(tmp_path) == ("/sys/fs/cgroup/pod",)
