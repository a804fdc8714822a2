"""Real nvcc on CUTLASS kernels on this machine, under a cgroup's limit: the gate against fixed numbers of jobs.

Needs root, a cgroup hierarchy that takes new groups, nvcc, ninja and the headers: ``CUTLASS_INCLUDE`` names their
directories (``include`` and ``tools/util/include`` of the Python package nvidia-cutlass), separated by colons. On a
machine of 16 cores ``bench.py`` is the command, with ``--amount whole --limit 24`` or ``--amount half --limit 12``.

On two cores no policy can be more than twice as fast as one job at a time, so "3 times RAM/12" is impossible here, and
"1.4 times RAM/6" only where RAM/6 is one job: below 12 GiB.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
pytestmark = pytest.mark.timeout(1500)
_PLAN = "static:1,static:2,|,cold,|,learned,learned"


def test_the_gate_kills_nothing_and_finishes(tmp_path: Path) -> None:
    includes = [one for one in os.environ.get("CUTLASS_INCLUDE", "").split(":") if one]
    nvcc = shutil.which("nvcc")
    if not includes or nvcc is None or os.geteuid() != 0:
        pytest.skip("needs CUTLASS_INCLUDE, nvcc and root")
    out = tmp_path / "results.json"
    argv = [sys.executable, str(HERE / "bench.py"), "--cutlass", *includes, "--amount", "small", "--limit", "6"]
    argv += ["--cores", "2", "--plan", _PLAN, "--bound", "240", "--work", str(tmp_path / "work"), "--out", str(out)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    print(f"\nload {os.getloadavg()[0]:.1f}\n{done.stdout}{done.stderr}")
    assert done.returncode == 0
    gated = [one for one in json.loads(out.read_text()) if one["policy"] != "static"]
    assert gated and all(one["finished"] and not one["killed"] for one in gated)
