"""The one pass over a wheel against unpacking and hashing its members, which nobody can do without.

Both run in processes of their own, in turn, on the same cores; times are taken inside, after the imports.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROUNDS = 5
RATIO = 1.5
MEMORY = 300_000_000  # bytes

MEASURED = """
import json, os, resource, sys, time
from pathlib import Path
path, cores = Path(sys.argv[1]), int(sys.argv[2])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
{prepare}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began, worked = time.perf_counter(), time.process_time()
{work}
seconds, worked = time.perf_counter() - began, time.process_time() - worked
print(json.dumps([seconds, worked, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, before * 1024]))
"""
FLOOR = MEASURED.format(
    prepare="""
import hashlib, zipfile
from concurrent.futures import ThreadPoolExecutor
def one(info):
    digest = hashlib.sha256()
    with archive.open(info) as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
""",
    work="""
with zipfile.ZipFile(path) as archive, ThreadPoolExecutor(cores) as pool:
    list(pool.map(one, sorted(archive.infolist(), key=lambda info: -info.file_size)))
""",
)
OURS = MEASURED.format(
    prepare="""
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.expect import Expectation
""",
    work="found = audit(path, Expectation(), cross_check=False)",
)


class Measured(NamedTuple):
    """Seconds by the clock and of processors, peak memory at the end and before the work began in bytes."""

    seconds: float
    worked: float
    most: int
    before: int


def measure(code: str, path: Path, cores: int) -> Measured:
    done = subprocess.run([sys.executable, "-c", code, path, str(cores)], check=True, capture_output=True, text=True)
    return Measured(*json.loads(done.stdout))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("name", ["sgl-kernel", "nvidia-cublas", "bitsandbytes", "tokenspeed-trtllm-kernel"])
def test_the_pass_costs_little_more_than_unpacking_and_hashing(
    wheel: Callable[[str], Path], name: str, cores: int
) -> None:
    if cores > len(os.sched_getaffinity(0)):
        pytest.skip(f"{cores} cores are not there")
    path = wheel(name)
    measure(FLOOR, path, cores)  # both find the file in the page cache
    rounds = [(measure(FLOOR, path, cores), measure(OURS, path, cores)) for _ in range(ROUNDS)]
    ratios = sorted(ours.seconds / floor.seconds for floor, ours in rounds)
    worked = sorted(ours.worked / floor.worked for floor, ours in rounds)
    floors, times = (sorted(round(pair[which].seconds, 2) for pair in rounds) for which in (0, 1))
    most, before = max(ours.most for _, ours in rounds), max(ours.before for _, ours in rounds)
    print(
        f"\n{name}, {cores} core(s): floor {floors} s, audit {times} s, "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), of processor time "
        f"{statistics.median(worked):.2f} ({worked[0]:.2f} to {worked[-1]:.2f}), "
        f"peak {most >> 20} MiB, of which {before >> 20} before it began"
    )
    assert most <= MEMORY
    if floors[0] > 1:  # a small wheel is all set-up
        assert statistics.median(ratios) <= RATIO
