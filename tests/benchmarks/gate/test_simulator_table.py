"""The gate against static job counts, simulated: ``python -m pytest tests/benchmarks/gate/test_simulator_table.py -s``.

Makespans relative to a lower bound of memory, processors and longest file; mean over the orders and seeds, the spread
behind it. "best static" is the largest job count that kills nothing in any of the runs: nobody knows the order of the
files beforehand. "with hindsight" is the best for each run by itself.
"""

from __future__ import annotations

import math
import statistics

import pytest
from gate_simulated import build
from gate_simulator import File, Machine, Outcome, lower_bound, mixed, static

_SEEDS = range(4)
_FILES = 600
_MACHINES = [
    *(Machine(*shape) for shape in ((32, 64), (32, 128), (64, 256), (16, 32), (8, 32), (2, 24), (16, 256))),
    Machine(32, 64, pod=True),
]


def _cell(bounds: list[float], outcomes: list[Outcome]) -> str:
    kills = sum(one.kills for one in outcomes)
    ratios = [one.seconds / bound for one, bound in zip(outcomes, bounds, strict=True)]
    unfinished = sum(math.isinf(ratio) for ratio in ratios)
    if unfinished:
        return f"{unfinished} of {len(ratios)} not finished"
    crawled = sum(one.crawled for one in outcomes)
    spread = f"{statistics.mean(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
    return spread + (f", {kills} kills" if kills else "") + (f", {crawled:.0f} s near the limit" if crawled else "")


@pytest.mark.parametrize("machine", _MACHINES, ids=lambda machine: machine.name)
def test_table(machine: Machine) -> None:
    runs = [(seed, mixed(seed, _FILES, clustered=clustered)) for clustered in (False, True) for seed in _SEEDS]
    files: list[list[File]] = [one for _, one in runs]
    bounds = [lower_bound(one, machine) for one in files]
    counts = sorted({max(1, round(machine.cores * part / 16)) for part in range(1, 17)})
    sweep = {jobs: [static(one, machine, jobs) for one in files] for jobs in counts}
    safe = max(jobs for jobs, outcomes in sweep.items() if not any(one.kills for one in outcomes))
    hindsight = [
        min((sweep[jobs][run] for jobs in counts if not sweep[jobs][run].kills), key=lambda one: one.seconds)
        for run in range(len(runs))
    ]
    rows = {"-j cores": [static(one, machine, machine.cores) for one in files]}
    for divisor in (2.8, 4, 6, 12):
        jobs = max(1, min(machine.cores, int(machine.memory / divisor)))
        rows[f"RAM/{divisor:g} (-j{jobs})"] = [static(one, machine, jobs) for one in files]
    rows[f"best static (-j{safe})"] = sweep[safe]
    rows["best static, with hindsight"] = hindsight
    for learned in (False, True):
        rows[f"gate, {'learned' if learned else 'cold'}"] = [
            build(one, machine, seed, learned=learned) for seed, one in runs
        ]
    print(f"\n{machine.name} GiB, lower bound {statistics.mean(bounds):.0f} s, {len(runs)} runs of {_FILES} files")
    for name, outcomes in rows.items():
        print(f"  {name:28} {_cell(bounds, outcomes)}")
    assert not any(one.kills for name in ("gate, cold", "gate, learned") for one in rows[name])
