"""The gate in simulated builds: nothing is killed, and no static job count that kills nothing is faster.

``UPDATE_GOLDEN=1 python -m pytest tests/unit/gate/test_gate_simulated.py`` writes figures/gate.json anew.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from functools import cache
from pathlib import Path

import pytest
from gate_simulated import build
from gate_simulator import File, Machine, Outcome, lower_bound, mixed, static

from trtllm_builder.gate.policy import Policy

_FIGURES = Path(__file__).with_name("figures") / "gate.json"
_TRIPLES = json.loads((Path(__file__).with_name("figures") / "triples.json").read_text())
_RECORDED = Path(__file__).parents[2] / "data" / "gate" / "cutlass.json"
_FILES = 100
_ORDERS = 4
"""A static count is safe when it kills nothing in so many builds of each order: nobody can try it out beforehand."""
_TIGHT = (
    Machine(32, 64),
    Machine(32, 128),
    Machine(64, 256),
    Machine(16, 32),
    Machine(8, 32),
    Machine(32, 64, pod=True),
)
_PLENTIFUL = (Machine(2, 24), Machine(16, 256), Machine(8, 128))
MACHINES = (*_TIGHT, *_PLENTIFUL)


@cache
def _files() -> tuple[list[File], ...]:
    return mixed(1, _FILES, clustered=False), mixed(2, _FILES, clustered=True)


@cache
def _gate(machine: Machine, learned: bool) -> list[Outcome]:
    return [build(files, machine, seed, learned=learned, tick=4.0) for seed, files in enumerate(_files())]


def _seconds(outcomes: list[Outcome]) -> float:
    return statistics.mean(one.seconds for one in outcomes)


@pytest.mark.parametrize("learned", [False, True], ids=["cold", "learned"])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_nothing_is_killed_and_nothing_crawls(machine: Machine, learned: bool) -> None:
    for outcome in _gate(machine, learned):
        assert outcome.kills == 0
        assert outcome.crawled <= 0.02 * outcome.seconds


@pytest.mark.parametrize("learned", [False, True], ids=["cold", "learned"])
@pytest.mark.parametrize("machine", _TIGHT, ids=lambda machine: machine.name)
def test_no_static_job_count_that_kills_nothing_is_faster(machine: Machine, learned: bool) -> None:
    best = min(_seconds([static(files, machine, jobs) for files in _files()]) for jobs in _safe_counts(machine))
    assert _seconds(_gate(machine, learned)) <= best


@cache
def _safe_counts(machine: Machine) -> list[int]:
    orders = [mixed(seed, _FILES, clustered=clustered) for clustered in (False, True) for seed in range(_ORDERS)]
    safe: list[int] = []
    for jobs in range(1, machine.cores + 1):
        if any(static(files, machine, jobs).kills for files in orders):
            break
        safe.append(jobs)
    return safe


@pytest.mark.parametrize("learned", [False, True], ids=["cold", "learned"])
@pytest.mark.parametrize("machine", (*_PLENTIFUL, Machine(8, 128, pressed=True)), ids=lambda machine: machine.name)
def test_where_memory_is_plentiful_the_gate_costs_nothing(machine: Machine, learned: bool) -> None:
    plain = [static(files, machine, machine.cores) for files in _files()]
    assert not any(one.kills for one in plain)
    assert _seconds(_gate(machine, learned)) <= 1.02 * _seconds(plain)


def test_the_figures_are_no_worse_than_the_committed_ones() -> None:
    """Makespans relative to the lower bound; five per cent worse is a regression."""
    bounds = {machine: statistics.mean(lower_bound(files, machine) for files in _files()) for machine in MACHINES}
    now = {
        machine.name: {
            name: round(_seconds(_gate(machine, learned)) / bounds[machine], 3)
            for name, learned in (("cold", False), ("learned", True))
        }
        for machine in MACHINES
    }
    if os.environ.get("UPDATE_GOLDEN"):
        _FIGURES.write_text(json.dumps({"schema": 1, "files": _FILES, "makespan": now}, indent=2) + "\n")
    committed = json.loads(_FIGURES.read_text())["makespan"]
    assert committed.keys() == now.keys()
    worse = {
        (machine, name): (figure, now[machine][name])
        for machine, figures in committed.items()
        for name, figure in figures.items()
        if now[machine][name] > 1.05 * figure
    }
    assert not worse, "UPDATE_GOLDEN=1 accepts these"


def _baseline() -> tuple[list[File], Machine]:
    base = _TRIPLES["baseline"]
    files = [
        File(group["kind"], group["seconds"], group["peak"], group["growth"])
        for group in base["files"]
        for _ in range(group["count"])
    ]
    return files, Machine(base["cores"], base["memory"])


def test_the_simulator_says_what_the_machine_said() -> None:
    files, machine = _baseline()
    for jobs, seconds in _TRIPLES["baseline"]["measured_seconds"].items():
        outcome = static(files, machine, int(jobs))
        assert outcome.kills == 0
        assert outcome.seconds == pytest.approx(seconds, rel=0.25)
    for jobs in _TRIPLES["baseline"]["not_finished_after_590_s"]:
        crowded = static(files, machine, jobs)
        assert crowded.kills or crowded.seconds > 590


@pytest.mark.parametrize("learned", [False, True], ids=["cold", "learned"])
def test_equal_kernels_that_start_together_neither_meet_nor_wait_for_long(learned: bool) -> None:
    """The hardest case for a forecast: peaks that last and do meet, of a kind that the table takes for twice as heavy.
    Cold no slower than RAM/6 (-j4), learned near the best static count (-j8)."""
    files, machine = _baseline()
    outcomes = [build(files, machine, seed, learned=learned) for seed in range(6 if learned else 1)]
    assert not any(one.kills or one.crawled for one in outcomes)
    most = 1.1 * static(files, machine, 8).seconds if learned else static(files, machine, 4).seconds
    assert _seconds(outcomes) <= most


_TWINS = 0.38  # the machine's sixteen processors are eight cores'
# Seconds that were measured there (tests/benchmarks/gate/compile/FIGURES.md), by job count; none where one was killed.
_HALF = (Machine(16, 12, twins=_TWINS), 4, {2: 128.5, 4: 75.9, 6: 59.2, 7: 46.5, 16: None})
_WHOLE = (Machine(16, 24, twins=_TWINS), 8, {2: 246.1, 4: 132.4, 6: 97.9, 8: 72.8, 10: 62.1, 16: None})
_FEW = (Machine(2, 6), 4, {})
Real = tuple[Machine, int, dict[int, float | None]]


def _recorded(most: int) -> list[File]:
    """Files that a real nvcc compiled, in the benchmark's order: ``most`` heavy, as many medium, twice the light."""
    by_name = {
        one["name"]: File(one["kind"], one["seconds"], one["peak"] / 2**30, one["growth"], tuple(one["course"]))
        for one in json.loads(_RECORDED.read_text())["files"]
    }
    names = ("gemm_heavy", "gemm_medium", "light")
    wanted = (f"{name}{number}" for number in range(2 * most) for name in names if number < most or name == "light")
    return [by_name[name] for name in wanted]


@pytest.mark.parametrize("real", [_HALF, _WHOLE], ids=["12 GiB", "24 GiB"])
def test_real_kernels_take_as_long_here_as_there(real: Real) -> None:
    machine, most, measured = real
    for jobs, seconds in measured.items():
        outcome = static(_recorded(most), machine, jobs)
        assert bool(outcome.kills) == (seconds is None)
        assert seconds is None or outcome.seconds == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("real", [_HALF, _WHOLE, _FEW], ids=["12 GiB", "24 GiB", "2 cores, 6 GiB"])
def test_real_kernels_are_built_faster_than_by_the_rule_and_learned_as_fast_as_by_the_best_count(real: Real) -> None:
    machine, most, _ = real
    files = _recorded(most)
    counts = [static(files, machine, jobs) for jobs in range(1, machine.cores + 1)]
    by_rule = counts[int(machine.memory / 6) - 1].seconds
    best = min(one.seconds for one in counts if not one.kills)
    cold = build(files, machine, 0, learned=False, tick=0.5)
    learned = [build(files, machine, seed, learned=True, tick=0.5) for seed in range(4)]
    assert not any(one.kills or one.crawled for one in (cold, *learned))
    assert cold.seconds <= 0.96 * by_rule
    assert _seconds(learned) <= 1.1 * best


def test_where_few_run_one_that_takes_more_than_it_did_kills_nothing() -> None:
    """Four at a time: the variances of all say little of the one that is off by most."""
    files, machine = mixed(5, 40, clustered=False), Machine(4, 18)
    by_variance, by_worst = (
        build(files, machine, 5, learned=True, policy=policy, tick=2.0) for policy in (Policy(largest=0.0), Policy())
    )
    assert by_variance.kills and not by_worst.kills and by_worst.seconds < by_variance.seconds


def test_a_build_that_loses_too_many_is_not_finished() -> None:
    assert math.isinf(static(_files()[0], Machine(32, 32), 32).seconds)
