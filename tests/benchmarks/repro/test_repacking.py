"""Packing a wheel anew against the time of the codec alone: the same blocks, packed on the same cores.

``TRTLLM_BUILDER_WHEELS`` names a directory with sgl_kernel 0.3.21 (1.66 GB unpacked), as tests/benchmarks/verify has
it. Both run in processes of their own, in turn; times are taken inside, after the imports. What the codec is given lies
unpacked in memory already, so all that repacking does besides counts: unpacking, both hashes, reading and writing.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROUNDS = 5
RATIO = 1.3
MEMORY = 200_000_000  # bytes
BEGIN = """
import json, os, resource, sys, time
from pathlib import Path
path, out, cores = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
"""
END = """
print(json.dumps([seconds, worked, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""
CODEC = f"""{BEGIN}
import zipfile
from concurrent.futures import ThreadPoolExecutor
from trtllm_builder.repro.codec import BLOCK, pack
seconds = worked = 0.0
with zipfile.ZipFile(path) as archive, ThreadPoolExecutor(cores) as pool:
    waiting = []
    def go():
        global seconds, worked
        began, busy = time.perf_counter(), time.process_time()
        for _ in pool.map(lambda one: pack(one[0], one[1], last=one[2]), waiting):
            pass
        seconds, worked = seconds + time.perf_counter() - began, worked + time.process_time() - busy
        waiting.clear()
    for info in archive.infolist():
        before = b""
        with archive.open(info) as stream:
            block = stream.read(BLOCK)
            while True:
                following = stream.read(BLOCK)
                waiting.append((block, before, not following))
                if len(waiting) == 400:
                    go()
                if not following:
                    break
                before, block = block, following
    go()
{END}"""
OURS = f"""{BEGIN}
from trtllm_builder.repro.wheel_writer import normalise
began, worked = time.perf_counter(), time.process_time()
normalise(path, out, epoch=0)
seconds, worked = time.perf_counter() - began, time.process_time() - worked
{END}"""


class Measured(NamedTuple):
    """Seconds by the clock and of processors; peak memory in bytes."""

    seconds: float
    worked: float
    peak: int


def measure(program: str, wheel: Path, out: Path, cores: int) -> Measured:
    words = [sys.executable, "-c", program, wheel, out, str(cores)]
    return Measured(*json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))


@pytest.mark.timeout(1800)
def test_packing_anew_costs_little_more_than_the_codec(tmp_path: Path) -> None:
    found = sorted(Path(os.environ.get("TRTLLM_BUILDER_WHEELS", "/nonexistent")).glob("sgl_kernel-*.whl"))
    if not found:
        pytest.skip("TRTLLM_BUILDER_WHEELS names no directory with sgl_kernel-0.3.21")
    cores = len(os.sched_getaffinity(0))
    codec, ours = [], []
    for _ in range(ROUNDS):
        codec.append(measure(CODEC, found[0], tmp_path, cores))
        ours.append(measure(OURS, found[0], tmp_path, cores))

    def told(name: str, runs: list[Measured]) -> str:
        seconds = sorted(round(one.seconds, 1) for one in runs)
        worked = statistics.median(one.worked for one in runs)
        peak = max(one.peak for one in runs) >> 20
        return f"{name}: {seconds} s by the clock, {worked:.1f} s of processors, peak {peak} MiB"

    ratios = sorted(one.seconds / other.seconds for one, other in zip(ours, codec, strict=True))
    work = statistics.median(one.worked for one in ours) / statistics.median(one.worked for one in codec)
    print(f"\n{found[0].name} on {cores} cores\n{told('codec alone', codec)}\n{told('repacking', ours)}")
    print(
        f"by the clock {[round(one, 2) for one in ratios]}, median {statistics.median(ratios):.2f}; of work {work:.2f}"
    )
    assert max(one.peak for one in ours) < MEMORY
    assert statistics.median(ratios) <= RATIO
