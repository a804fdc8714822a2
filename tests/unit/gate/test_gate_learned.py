"""What was measured is kept, merged in any order, and used."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.gate import learned as module
from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.learned import Learned, Measured, course_of, from_json, learn
from trtllm_builder.gate.weights import Weights, kinds

GIB = 2**30
KERNEL = Compile("compile", "cpp/kernels/cutlass/a.cu", ".cu", ("90a",), 1, 1, "nvcc-1")
SHARES = st.sampled_from([0.0, 0.35, 1.0])
MEASURED = st.builds(
    Measured,
    when=st.integers(0, 3),
    peak=st.integers(0, 3),
    seconds=st.sampled_from([0.0, 1.5]),
    course=st.just(()) | st.lists(SHARES, min_size=10, max_size=10).map(tuple),
    kind=st.sampled_from(["cuda", "c++"]),
)
KEYS = st.tuples(
    st.sampled_from("ab"), st.sampled_from([(), ("80",), ("80", "90a")]), st.just(1), st.sampled_from("xy")
)
LEARNED = st.dictionaries(KEYS, MEASURED, max_size=5).map(Learned)


@settings(max_examples=50, deadline=None)
@given(LEARNED, LEARNED, LEARNED, st.integers(1, 12))
def test_merging_depends_on_no_order_and_twice_is_once(a: Learned, b: Learned, c: Learned, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST", most)
        assert a.merge(b) == b.merge(a)
        assert a.merge(b).merge(c) == a.merge(b.merge(c))
        assert a.merge(b).merge(b) == a.merge(b)
        assert len(a.merge(b).entries) <= most


@settings(max_examples=40, deadline=None)
@given(LEARNED)
def test_a_document_comes_back_as_it_was(one: Learned) -> None:
    assert from_json(json.dumps(one.to_json())) == (one, "")


def test_a_document_follows_its_schema(validate: Callable[[str, object], None]) -> None:
    validate("learned", learn([(KERNEL, Measured(1, GIB, 2.5, (1.0,) * 10, "cutlass"))]).to_json())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 2, "files": []}', "[" * 100_000, '{"schema":1,"files":{}}'],
)
def test_a_damaged_document_is_a_sentence_and_nothing_more(text: str) -> None:
    found, sentence = from_json(text)
    assert not found.entries and sentence.startswith("The learned peaks ")


def test_entries_that_cannot_be_meant_are_left_out_and_counted() -> None:
    good = learn([(KERNEL, Measured(1, GIB, 2.5))]).to_json()
    assert isinstance(good["files"], list)
    entry = good["files"][0]
    wrong: list[object] = [7, {}, {**entry, "peak": -1}, {**entry, "peak": True}, {**entry, "course": [2] * 10},
                           {**entry, "course": [0.5]}, {**entry, "seconds": "long"}, {**entry, "architectures": 5},
                           {**entry, "seconds": float("nan")}, {**entry, "source": ""}]  # fmt: skip
    found, sentence = from_json(json.dumps({**good, "files": [entry, *wrong]}))
    assert len(found.entries) == 1 and sentence.startswith(f"{len(wrong)} of {len(wrong) + 1} learned peaks")


NAMES = st.sampled_from(["schema", "files", "peak", "source"])
ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(ANYTHING)
def test_no_document_is_an_error(document: object) -> None:
    from_json(json.dumps(document))
    from_json(json.dumps({"schema": 1, "files": [document]}))


def test_what_was_measured_is_what_is_expected_the_next_time() -> None:
    course = (0.2, 0.5, 0.5, 0.6, 0.8, 1.0, 1.0, 0.3, 0.3, 0.3)
    known = learn([(KERNEL, Measured(1, 3 * GIB, 46.0, course, "cutlass"))])
    weight = Weights(known).of(KERNEL)
    assert (weight.bytes, weight.seconds, weight.course, weight.origin) == (3 * GIB, 46.0, course, "measured")
    other = Compile("compile", KERNEL.source, ".cu", ("90a",), 1, 1, "nvcc-2")
    assert Weights(known).of(other).origin == "cutlass, by kind"


def test_a_kind_is_soon_what_this_build_measures() -> None:
    weights = Weights()
    first = weights.of(KERNEL)
    assert first.bytes == kinds()["cutlass"].memory
    for number in range(20):
        other = Compile("compile", f"cpp/cutlass/{number}.cu", ".cu", ("90a",), 1)
        weights.note(other, Measured(0, 2 * GIB, 30.0))
    later = weights.of(KERNEL)
    assert later.bytes == pytest.approx(2 * GIB, rel=0.25) and later.spread < first.spread + 0.1
    assert later.seconds == pytest.approx(30.0, rel=0.3) and later.origin == "cutlass, as 20 measured"


def test_threads_multiply_memory_and_architectures_take_time() -> None:
    one, four, threaded = (
        Weights().of(Compile("compile", "a.cu", ".cu", (), count, threads))
        for count, threads in ((1, 1), (4, 1), (4, 4))
    )
    assert one.bytes == four.bytes and threaded.bytes == 4 * one.bytes
    assert one.seconds and four.seconds and threaded.seconds == one.seconds < four.seconds


def test_a_profile_may_know_a_kind_better() -> None:
    assert Weights(overrides={"cutlass": 9 * GIB}).of(KERNEL).bytes == 9 * GIB


def test_a_slower_machine_is_noticed() -> None:
    compiles = [Compile("compile", f"{number}.cu", ".cu") for number in range(9)]
    weights = Weights(learn((one, Measured(0, GIB, 10.0)) for one in compiles))
    for one in compiles[:5]:
        weights.note(one, Measured(1, GIB, 20.0))
    assert weights.pace == 2.0 and weights.of(compiles[8]).seconds == 20.0


def test_the_course_is_the_most_in_each_tenth_and_needs_samples() -> None:
    samples = [(float(second), min(second, 60) * GIB // 20) for second in range(100)]
    course = course_of(samples, 100.0, 3 * GIB)
    assert course[0] == pytest.approx(0.15) and course[6:] == (1.0, 1.0, 1.0, 1.0)
    assert list(course) == sorted(course)
    assert course_of([(0.1, 5), (0.9, 9)], 1.0, 9) == ()
    assert course_of([], 0.0, 0) == ()
    # A peak between two samples is still the highest tenth's.
    assert max(course_of(samples, 100.0, 30 * GIB)) == 1.0


def test_the_newest_counts_and_the_heavier_of_two_as_new() -> None:
    old, new, heavy = (learn([(KERNEL, Measured(when, peak, 1.0))]) for when, peak in ((1, 9), (2, 3), (2, 4)))
    for one in (old.merge(new).merge(heavy), heavy.merge(new).merge(old), new.merge(heavy.merge(old))):
        found = one.of(KERNEL)
        assert found is not None and (found.when, found.peak) == (2, 4)


def test_what_was_measured_now_counts_whatever_the_clock_said_before() -> None:
    known, now = (learn([(KERNEL, Measured(when, peak, 1.0))]) for when, peak in ((4102444800, 1), (5, 382)))
    found = known.then(now).of(KERNEL)
    assert found is not None and (found.when, found.peak) == (5, 382)


def test_a_date_to_come_counts_as_now(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = learn([(KERNEL, Measured(4102444800, 1, 1.0))])
    monkeypatch.setattr("trtllm_builder.gate.learned.time.time", lambda: 1_790_000_000.5)
    read, sentence = from_json(json.dumps(ahead.to_json()))
    one = read.of(KERNEL)
    assert one is not None and (one.when, sentence) == (1_790_000_000, "")
    later = learn([(KERNEL, Measured(1_790_000_001, 382, 1.0))])
    assert read.merge(later) == later.merge(read) == later
