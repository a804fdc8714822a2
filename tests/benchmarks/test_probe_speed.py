"""``probe`` and ``patches audit`` of 3,000 Python files of the size of upstream's: CPU seconds and peak memory.

For the probe harder than upstream itself: all files are in the package, and importing it reaches every one. The audit
reaches a third of them, as many as upstream's package has.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

FILES = 3_000
TURNS = 3
LIMIT = 10.0  # CPU seconds on one core
FUNCTION = '''
def step_{n}(self, hidden_states, attention_mask=None, *, position_ids=None, cache=None, **kwargs):
    """One step, with a sentence of documentation as long as most of them are."""
    if attention_mask is not None and hidden_states.shape[0] != attention_mask.shape[0]:
        raise ValueError(f"shapes differ: {{hidden_states.shape}} and {{attention_mask.shape}}")
    results = [self.layers[index](hidden_states, cache=cache) for index in range(self.config.num_layers)]
    return {{"hidden": results[-1], "all": tuple(results), "positions": position_ids, **kwargs}}
'''
AUDIT = """
import resource, sys
from pathlib import Path
from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.package import Package
from trtllm_builder.upstream.tree import Tree
found = audit(Package.of_tree(Tree(Path(sys.argv[1]))))
used = resource.getrusage(resource.RUSAGE_SELF)
print(sum(len(entry.touches) for entry in found.entries), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""
CHILD = """
import resource, sys, time
from pathlib import Path
from trtllm_builder.upstream.probe import probe
found = probe(Path(sys.argv[1]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(len(found.traps), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("child", "reached"), [(CHILD, FILES), (AUDIT, FILES // 3)], ids=["probe", "audit"])
def test_speed_and_memory(tmp_path: Path, child: str, reached: int) -> None:
    body = "".join(FUNCTION.format(n=n) for n in range(20))
    package = tmp_path / "tensorrt_llm"
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/build_wheel.py").write_text("def main():\n    pass\n")
    for number in range(FILES):
        path = package / f"part_{number // 50}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"import torch\nfrom tensorrt_llm._utils import mpi_rank  # {number}\n{body}")
    for part in range(FILES // 50):
        names = "".join(f"from . import module_{number}\n" for number in range(part * 50, part * 50 + 50))
        (package / f"part_{part}/__init__.py").write_text(names)
    (package / "__init__.py").write_text("".join(f"from . import part_{part}\n" for part in range(reached // 50)))
    (package / "_utils.py").write_text("from mpi4py import MPI\n\n\ndef mpi_rank():\n    return 0\n")
    seconds, peaks = [], []
    for _ in range(TURNS):
        done = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True, check=True)
        traps, used, peak = done.stdout.split()
        assert int(traps) >= 1
        seconds.append(float(used))
        peaks.append(int(peak))
    size = sum(path.stat().st_size for path in package.rglob("*.py"))
    print(
        f"\n{FILES} files, {size / 10**6:.0f} MB: {statistics.median(seconds):.1f} s of CPU "
        f"({min(seconds):.1f} to {max(seconds):.1f}), {max(peaks) / 2**20:.0f} MiB"
    )
    assert statistics.median(seconds) < LIMIT
