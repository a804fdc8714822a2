"""The seconds left, on schedules whose end is known: a build of kernels and light files, cold, cached and learned."""

from __future__ import annotations

import heapq
import random
from statistics import mean

import pytest

from trtllm_builder.build.estimate import Estimator, class_of, linear

Step = tuple[str, float, float, bool]
_KINDS = {"cutlass_gemm{}.cu.o": (60, 240), "kernel{}.cu.o": (30, 80), "source{}.cpp.o": (5, 25)}


def tasks(seed: int) -> dict[str, float]:
    """600 files in directories, most of a directory's of one kind: as a real tree, the work is not spread evenly."""
    chance = random.Random(seed)
    found = {}
    for directory in range(20):
        own = chance.choices(list(_KINDS), [15, 35, 50])[0]
        for number in range(30):
            kind = own if chance.random() < 0.8 else chance.choices(list(_KINDS), [15, 35, 50])[0]
            found[f"d{directory}/" + kind.format(number)] = chance.uniform(*_KINDS[kind])
    return found


def run(seconds: dict[str, float], jobs: int, hits: float = 0.0, seed: int = 0) -> list[Step]:
    chance = random.Random(seed)
    slots = [0.0] * jobs
    steps = []
    for output, taken in seconds.items():
        hit = chance.random() < hits
        start = heapq.heappop(slots)
        heapq.heappush(slots, start + (0.15 if hit else taken))
        steps.append((output, start, start + (0.15 if hit else taken), hit))
    end = max(slots)
    return [*sorted(steps, key=lambda step: step[2]), ("libtensorrt_llm.so", end, end + 20, False)]


def errors(steps: list[Step], jobs: int, history: dict[str, float], at: float) -> tuple[float, float]:
    """How far off we and the mean pace are when ``at`` of the time is over, as parts of the whole time."""
    whole = steps[-1][2]
    now = whole * at
    estimator = Estimator(history, jobs)
    estimator.expect(output for output, *_ in steps if output.endswith(".o"))
    done = [step for step in steps if step[2] <= now]
    for output, start, end, hit in done:
        estimator.finished(output, end - start, hit=hit)
    left = estimator.left(
        len(steps) - len(done), now, [(o, now - start) for o, start, end, _ in steps if start <= now < end]
    )
    plain = linear(len(done), len(steps), now)
    assert left is not None and plain is not None
    return abs(left - (whole - now)) / whole, abs(plain - (whole - now)) / whole


@pytest.mark.parametrize(
    ("jobs", "learned", "hits", "most"),
    [(2, False, 0.0, 0.06), (16, False, 0.0, 0.07), (16, True, 0.0, 0.03), (16, True, 0.5, 0.08)],
)
def test_better_than_the_mean_pace(jobs: int, learned: bool, hits: float, most: float) -> None:
    for at in (0.25, 0.5, 0.75):
        found = []
        for seed in range(6):
            seconds = tasks(seed)
            # Another machine, half as fast, and no two builds alike.
            chance = random.Random(seed + 50)
            now = {output: 2 * taken * chance.lognormvariate(0, 0.15) for output, taken in seconds.items()}
            found.append(errors(run(now, jobs, hits, seed), jobs, seconds if learned else {}, at))
        ours, plain = mean(one[0] for one in found), mean(one[1] for one in found)
        assert ours < most and ours < plain / 2, (at, ours, plain)


def test_nothing_is_said_before_anything_is_known() -> None:
    estimator = Estimator({}, 4)
    estimator.expect(["a.o", "b.o"])
    assert estimator.left(3, 1.0, []) is None
    assert linear(1, 20, 5.0) is None and linear(10, 20, 5.0) == 5.0
    known = Estimator({"a.o": 10.0, "b.o": 30.0}, 1)
    known.expect(["a.o", "b.o"])
    assert known.left(2, 0.0, []) == pytest.approx(40.0)
    # Half of it runs for 20 of its 30 seconds.
    assert known.left(2, 20.0, [("b.o", 20.0)]) == pytest.approx(20.0)
    assert known.left(0, 40.0, []) == 0.0


def test_classes_go_by_what_a_file_is() -> None:
    names = ["k/cutlass_kernels/a.cu.o", "k/topK.cu.o", "nanobind/b.cpp.o", "c.cpp.o", "l.so", "version.h"]
    assert [class_of(name)[0] for name in names] == ["heavy", "cuda", "bindings", "compiled", "linked", "other"]
