"""``explain`` on logs of 500 MB: megabytes a second of processor time, and peak memory, for three kinds of logs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 500 * 10**6
TURNS = 3
PLAIN = "[{n}/3400] Building CUDA object cpp/tensorrt_llm/CMakeFiles/kernels_src.dir/kernels/fmha_{n}_sm89.cu.o\n"
LOGS = {
    "plain": PLAIN,
    "verbose": "[{n}/3400] nvcc -Werror -DNDEBUG " + "-I/src/cpp/include " * 25 + "-c fmha_{n}.cu -o fmha_{n}.cu.o\n",
    "nothing but errors": "f{n}.cpp:1:10: error: 'x{n}' was not declared in this scope\n",
}
# Processor time: the work is all on one core, and other programs do not blur it.
CHILD = """
import resource, sys, time
from pathlib import Path
from trtllm_builder.build.diagnosis.engine import diagnose_file
began = time.process_time()
found = diagnose_file(Path(sys.argv[1]))
print(found.first.id, time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.timeout(1200)
def test_speed_and_memory(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    lines = "".join(LOGS[kind].format(n=n) for n in range(20_000))
    with log.open("w") as stream:
        while stream.tell() < SIZE:
            stream.write(lines)
        stream.write("FAILED: [code=137] k.dir/fmha.cu.o\nKilled\nninja: build stopped: subcommand failed.\n")
    speeds, peaks = [], []
    for _ in range(TURNS):
        done = subprocess.run([sys.executable, "-c", CHILD, log], capture_output=True, text=True, check=True)
        cause, seconds, peak = done.stdout.split()
        assert cause == "killed"
        speeds.append(log.stat().st_size / 1e6 / float(seconds))
        peaks.append(int(peak) / 2**20)
    shown = ", ".join(f"{speed:.1f}" for speed in sorted(speeds))
    print(f"{kind}: {statistics.median(speeds):.1f} MB/s ({shown}), peak {max(peaks):.0f} MiB")
    assert max(peaks) < 64
