"""Who is admitted, and why the others wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.gate.forecast import GUESSED_PACES
from trtllm_builder.gate.policy import Admission, Budget, Policy, Running, Waiting, Weight, admit

GIB = 2**30
# Peaks that are known to the byte and taken to meet: what fits can be reckoned by hand.
EXACT = Policy(deviations=0, largest=0, timeless=True)


def _weight(gib: float, seconds: float | None = None) -> Weight:
    return Weight(round(gib * GIB), "test", spread=0.0, seconds=seconds)


def _waiting(number: int, gib: float, *, since: float = 0.0, alone: bool = False, passed: int = 0) -> Waiting:
    return Waiting(number, _weight(gib), since, alone, passed)


def _running(number: int, gib: float, held: float = 0.0, *, since: float = 0.0, alone: bool = False) -> Running:
    return Running(number, _weight(gib), since, round(held * GIB), round(held * GIB), alone)


def _free(gib: float, reserve: float = 2.0, pressed: float | None = None) -> Budget:
    return Budget(round(gib * GIB), round(reserve * GIB), pressed)


def _why(answer: Admission) -> dict[int, str]:
    return {one.number: one.why for one in answer.waiting}


def test_one_is_admitted_when_nothing_runs_whatever_it_weighs() -> None:
    starved = Budget(free=0, reserve=2 * GIB, pressed_since=0.0)
    assert admit(Policy(slots=1), [_waiting(1, 500)], [], starved, 0.0).numbers == (1,)


def test_what_running_ones_hold_counts_once_and_what_they_still_take_counts_too() -> None:
    running = [_running(1, 4, held=3)]
    assert admit(EXACT, [_waiting(2, 5)], running, _free(8), 0.0).numbers == (2,)
    refused = admit(EXACT, [_waiting(2, 5.1)], running, _free(8), 0.0)
    assert refused.numbers == () and refused.reason == "memory" and refused.room == 5 * GIB


def test_one_that_holds_more_than_was_foreseen_is_not_counted_below_what_it_holds() -> None:
    assert admit(EXACT, [_waiting(2, 5)], [_running(1, 1, held=20)], _free(7), 0.0).numbers == (2,)
    assert admit(EXACT, [_waiting(2, 5.1)], [_running(1, 1, held=20)], _free(7), 0.0).numbers == ()


def test_the_heaviest_comes_first_and_light_ones_fill_the_gap() -> None:
    line = [_waiting(1, 1), _waiting(2, 6), _waiting(3, 5), _waiting(4, 2)]
    answer = admit(EXACT, line, [_running(0, 1, held=1)], _free(11), 0.0)
    assert answer.numbers == (2, 4, 1)
    assert _why(answer) == {3: "memory"}


def test_a_giant_is_passed_so_often_and_then_nobody_passes_it_until_it_fits() -> None:
    policy = replace(EXACT, most_passed=2)
    line: tuple[Waiting, ...] = (_waiting(1, 30),)
    running = [_running(0, 10, held=10)]
    for number in (2, 3):
        answer = admit(policy, [*line, _waiting(number, 1)], running, _free(22), 1.0)
        assert answer.numbers == (number,)
        line = answer.waiting
    assert line[0].passed == 2
    held_up = admit(policy, [*line, _waiting(4, 1)], running, _free(22), 1.0)
    assert held_up.numbers == () and _why(held_up) == {1: "memory", 4: "turn"}
    assert admit(policy, held_up.waiting, [], _free(32), 1.0).numbers == (1,)


def test_a_giant_does_not_wait_for_ever_even_when_few_come() -> None:
    line = [_waiting(1, 30, since=0.0), _waiting(2, 1, since=299.0)]
    running = [_running(0, 10, held=10)]
    assert admit(EXACT, line, running, _free(22), 299.0).numbers == (2,)
    assert admit(EXACT, line, running, _free(22), 300.0).numbers == ()


def test_who_waits_for_a_core_only_is_not_passed_over() -> None:
    answer = admit(replace(EXACT, slots=1), [_waiting(1, 1), _waiting(2, 2)], [], _free(50), 0.0)
    assert answer.numbers == (2,) and answer.waiting[0].passed == 0 and answer.reason == "slots"


def test_pressure_stops_admission_but_not_for_ever() -> None:
    line, running = [_waiting(1, 1), _waiting(2, 1)], [_running(0, 1, held=1, since=5.0)]
    assert admit(EXACT, line, running, _free(30, pressed=10.0), 39.9).reason == "pressure"
    late = admit(EXACT, line, running, _free(30, pressed=10.0), 40.0)
    assert late.numbers == (1,) and _why(late) == {2: "pressure"}
    again = [*running, _running(1, 1, held=1, since=40.0)]
    assert admit(EXACT, late.waiting, again, _free(30, pressed=10.0), 69.0).numbers == ()
    assert admit(EXACT, late.waiting, again, _free(30, pressed=10.0), 70.0).numbers == (2,)


def test_little_memory_left_stops_admission_whatever_was_promised() -> None:
    running = [_running(0, 1, held=9)]
    assert admit(EXACT, [_waiting(1, 0.1)], running, _free(0.9), 0.0).reason == "low memory"
    assert admit(EXACT, [_waiting(1, 0.1)], [], _free(0.9), 0.0).numbers == (1,)


def test_a_killed_one_runs_with_nothing_beside_it() -> None:
    killed = _waiting(1, 8, alone=True)
    beside = admit(EXACT, [killed, _waiting(2, 1)], [_running(0, 1)], _free(50), 0.0)
    assert beside.numbers == () and _why(beside) == {1: "alone", 2: "turn"}
    first = admit(EXACT, beside.waiting, [], _free(50), 0.0)
    assert first.numbers == (1,) and _why(first) == {2: "alone"}
    assert admit(EXACT, first.waiting, [_running(1, 8, alone=True)], _free(50), 0.0).reason == "alone"


def test_peaks_that_do_not_meet_need_not_both_find_room() -> None:
    """Two of 10 GiB and 100 s: the first is nearly done when the second comes to its peak."""
    course = (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5, 1.0, 1.0, 1.0)
    weight = Weight(10 * GIB, "test", spread=0.02, seconds=100.0, course=course)
    fresh = Waiting(2, weight, 0.0)
    late, early = (Running(1, weight, since, held=held * GIB) for since, held in ((-90.0, 10), (0.0, 1)))
    assert admit(Policy(), [fresh], [late], Budget(10 * GIB, 2 * GIB), 0.0).numbers == (2,)
    assert admit(Policy(), [fresh], [early], Budget(19 * GIB, 2 * GIB), 0.0).numbers == ()
    assert admit(Policy().careful(), [fresh], [late], Budget(10 * GIB, 2 * GIB), 0.0).numbers == ()


def test_one_that_takes_longer_than_any_of_its_futures_keeps_its_peak() -> None:
    weight = Weight(10 * GIB, "test", seconds=100.0)
    overdue = Running(1, weight, since=-200.0, held=10 * GIB)
    assert admit(Policy(), [Waiting(2, weight, 0.0)], [overdue], Budget(9 * GIB, 2 * GIB), 0.0).numbers == ()


def test_one_that_grows_faster_than_foreseen_is_expected_to_end_higher() -> None:
    course = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    weight = Weight(8 * GIB, "test", seconds=100.0, course=course)
    rooms = [
        admit(Policy(), [], [Running(1, weight, since=-50.0, held=held * GIB)], Budget((30 - held) * GIB, 0), 0.0).room
        for held in (4, 7)
    ]
    assert rooms[1] < rooms[0] - 1 * GIB


def _guessed(number: int, kind: str, gib: float, measured: int = 0) -> Waiting:
    weight = Weight(round(gib * GIB), kind, 0.35, 100.0, paces=GUESSED_PACES, kind=kind, measured=measured)
    return Waiting(number, weight, 0.0)


def test_one_of_each_kind_comes_first_while_nothing_of_it_is_measured() -> None:
    line = [_guessed(1, "heavy", 6), _guessed(2, "heavy", 6), _guessed(3, "light", 1), _guessed(4, "light", 1)]
    roomy = Budget(200 * GIB, GIB)
    assert admit(Policy(slots=4), line, [], roomy, 0.0).numbers == (3, 1, 2, 4)
    known = [_guessed(one.number, one.weight.kind, one.weight.bytes / GIB, measured=1) for one in line]
    assert admit(Policy(slots=4), known, [], roomy, 0.0).numbers == (1, 2, 3, 4)


def test_where_nothing_is_known_no_fewer_run_than_by_the_static_rule() -> None:
    line = [_guessed(number, "heavy", 6) for number in (1, 2, 3)]
    assert admit(Policy(), line, [], Budget(12 * GIB, GIB // 2), 0.0).numbers == (1, 2)
    assert admit(Policy(), line, [], Budget(10 * GIB, GIB // 2), 0.0).numbers == (1,)
    assert admit(Policy(), [_waiting(1, 6), _waiting(2, 6)], [], Budget(12 * GIB, GIB // 2), 0.0).numbers == (1,)


def test_light_ones_leave_the_heaviest_the_room_that_it_will_find() -> None:
    course = (1.0,) * 10
    heavy = Weight(8 * GIB, "test", 0.0, 100.0, course)
    ending = Running(1, heavy, since=-90.0, held=8 * GIB, most=8 * GIB)
    waits = Waiting(2, replace(heavy, bytes=19 * GIB // 2), 0.0)
    for seconds, started in ((5.0, (3,)), (200.0, ())):
        light = Waiting(3, Weight(3 * GIB // 2, "test", 0.0, seconds, course), 0.0)
        answer = admit(Policy(), [waits, light], [ending], Budget(4 * GIB, 2 * GIB), 0.0)
        assert answer.numbers == started, seconds


def test_room_is_kept_for_the_heaviest_that_waits_and_for_no_other() -> None:
    """Were it kept for all that wait, light ones would stand idle beside free memory."""
    heavy = Weight(8 * GIB, "test", 0.0, 100.0, (1.0,) * 10)
    ending = Running(1, heavy, since=-90.0, held=8 * GIB, most=8 * GIB)
    line = [Waiting(number, replace(heavy, bytes=size * GIB // 2), 0.0) for number, size in ((2, 12), (3, 7))]
    light = Waiting(4, Weight(GIB, "test", 0.0, 200.0, (1.0,) * 10), 0.0)
    answer = admit(Policy(), [*line, light], [ending], Budget(4 * GIB, 2 * GIB), 0.0)
    assert answer.numbers == (4,) and _why(answer) == {2: "memory", 3: "memory"}


def test_a_peak_that_has_not_been_seen_is_still_to_come_whatever_the_clock_says() -> None:
    """And one that was seen is over: a slow machine is slow for all."""
    course = (0.2, 0.2, 0.2, 0.2, 1.0, 0.2, 0.2, 0.2, 0.2, 0.2)
    weight = Weight(10 * GIB, "test", 0.02, 100.0, course)
    rooms = [
        admit(Policy(), [], [Running(1, weight, -80.0, 2 * GIB, most)], Budget(28 * GIB, 0), 0.0).room
        for most in (2 * GIB, 10 * GIB)
    ]
    assert rooms[0] < 21 * GIB and rooms[1] > 26 * GIB


def test_others_pressure_stops_nobody_where_the_heaviest_of_all_slots_fit() -> None:
    line, running = [_waiting(1, 1), _waiting(2, 1)], [_running(0, 1, held=1, since=5.0)]
    policy = replace(EXACT, slots=3)
    assert admit(policy, line, running, _free(30, pressed=10.0), 11.0).numbers == (1, 2)
    assert admit(policy, line, running, _free(3.9, pressed=10.0), 11.0).reason == "pressure"


SIZES = st.integers(0, 64 * GIB)
WEIGHTS = st.builds(
    Weight,
    bytes=SIZES,
    origin=st.just("any"),
    spread=st.floats(0, 1),
    seconds=st.none() | st.floats(0, 1e4),
    course=st.lists(st.floats(0, 1), min_size=10, max_size=10).map(tuple),
)
NOW = st.floats(0, 1e6)


@settings(max_examples=50, deadline=None)
@given(
    policy=st.builds(Policy, timeless=st.booleans(), slots=st.none() | st.integers(1, 8)),
    waiting=st.lists(st.tuples(WEIGHTS, NOW, st.booleans(), st.integers(0, 99)), max_size=8),
    running=st.lists(st.tuples(WEIGHTS, NOW, SIZES, st.booleans()), max_size=8),
    budget=st.builds(Budget, free=SIZES, reserve=SIZES, pressed_since=st.none() | NOW),
    now=NOW,
)
def test_whatever_comes_one_job_runs_and_nobody_is_lost(
    policy: Policy,
    waiting: list[tuple[Weight, float, bool, int]],
    running: list[tuple[Weight, float, int, bool]],
    budget: Budget,
    now: float,
) -> None:
    line = [Waiting(100 + number, *one) for number, one in enumerate(waiting)]
    runs = [Running(number, w, since, held, held, alone) for number, (w, since, held, alone) in enumerate(running)]
    answer = admit(policy, line, runs, budget, now)
    assert sorted([*answer.numbers, *(one.number for one in answer.waiting)]) == [one.number for one in line]
    assert answer.numbers or runs or not line
    assert all(one.why for one in answer.waiting)
    if policy.slots is not None:
        assert not answer.numbers or len(runs) + len(answer.numbers) <= max(1, policy.slots)
    if any(one.alone for one in runs):
        assert not answer.numbers
    assert answer == admit(policy, line[::-1], runs, budget, now) or len(line) != len(set(line))


@pytest.mark.parametrize("timeless", [True, False])
def test_nobody_waits_where_the_largest_of_all_slots_fit(timeless: bool) -> None:
    policy = replace(Policy(slots=16), timeless=timeless)
    line = [Waiting(number, Weight(8 * GIB, "test", seconds=100.0), 0.0) for number in range(16)]
    assert len(admit(policy, line, [], Budget(160 * GIB, 16 * GIB), 0.0).numbers) == 16
