"""Who is admitted, and why the others wait."""

from __future__ import annotations

from trtllm_builder.gate.policy import Budget, Policy, Running, Waiting, Weight, admit

GIB = 2**30


def _waiting(number: int, gib: float, *, since: float = 0.0, alone: bool = False, passed: int = 0) -> Waiting:
    return Waiting(number, Weight(round(gib * GIB), "test"), since, alone, passed)


def _running(number: int, gib: float, held: float = 0.0, *, since: float = 0.0, alone: bool = False) -> Running:
    return Running(number, Weight(round(gib * GIB), "test"), since, round(held * GIB), round(held * GIB), alone)


def _free(gib: float, reserve: float = 2.0, pressed: float | None = None) -> Budget:
    return Budget(round(gib * GIB), round(reserve * GIB), pressed)


def test_one_is_admitted_when_nothing_runs_whatever_it_weighs() -> None:
    starved = Budget(free=0, reserve=2 * GIB, pressed_since=0.0)
    assert admit(Policy(), [_waiting(1, 500)], [], starved, 0.0).numbers == (1,)


def test_what_running_ones_still_take_is_counted_once() -> None:
    policy = Policy(growth=1.0)
    running = [_running(1, 4, held=3)]
    assert admit(policy, [_waiting(2, 5)], running, _free(8), 0.0).numbers == (2,)
    refused = admit(policy, [_waiting(2, 5.1)], running, _free(8), 0.0)
    assert refused.numbers == () and refused.reason == "memory"
