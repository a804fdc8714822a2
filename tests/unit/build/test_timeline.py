"""A timeline from what a run wrote: lanes, pauses, hostile names, and the two files made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from trtllm_builder.build.journal import Journal
from trtllm_builder.build.ninja_log import Edge, Finished
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.samples import Samples, Steps, read_samples, read_steps
from trtllm_builder.build.timeline import Timeline, read_timeline
from trtllm_builder.build.timeline_html import timeline_page
from trtllm_builder.build.timeline_trace import trace

T0 = 1_790_000_000.0
HOSTILE = "evil/<script>alert(1)</script>\"'&<!--]]>\u202e\x1b[31m{{ 7*7 }}.cu.o"


def write(path: Path, *documents: dict[str, object]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))


def sample(t: float, phase: str, memory: int = 2**30, **more: object) -> dict[str, object]:
    use = {"done": 1, "total": 3, "disk_free": 2**40, "cpu": 1.5, "jobs": 2, "hits": 1, "misses": 1}
    return {"t": T0 + t, "phase": phase, "memory": memory, **use, **more}


def step(start: float, end: float, output: str, *, ninja: int = 1, hit: bool | None = False) -> dict[str, object]:
    return {"ninja": ninja, "start": int(start * 1000), "end": int(end * 1000), "output": output, "hit": hit}


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    """Started, killed after 50 s while compiling, gone on with 1000 s later."""

    def event(at: float, kind: str, **facts: object) -> dict[str, object]:
        return {"event": kind, "time": T0 + at, **facts}

    plan = {"profile": "<b>p</b>", "jobs": {"memory": 2**31}}
    write(
        tmp_path / "journal.jsonl",
        event(-500, "run", id="other"), event(-400, "begin", stage="tools", run="other"),
        event(0, "run", id="R", plan=plan), event(1, "begin", stage="tools", run="R"),
        event(5, "end", stage="tools", run="R"), event(5, "begin", stage="compile", run="R"),
        event(6, "limit", run="R", memory=600 * 2**20 + 2**31, source="/sys/fs/cgroup/memory.max"),
        event(1050, "run", id="R", plan=plan), event(1051, "begin", stage="compile", run="R"),
        event(1090, "end", stage="compile", run="R"), event(1100, "done", id="R"),
    )  # fmt: skip
    write(
        tmp_path / "samples.jsonl",
        sample(6, "requirements"), sample(10, "build", 3 * 2**29), sample(50, "build"), sample(1055, "build"),
        sample(1080, "package", hits=3), sample(1090, "package"), {"t": "x"}, sample(3, "build", cpu="much"),
    )  # fmt: skip
    write(
        tmp_path / "steps.jsonl",
        {"ninja": 1, "began": T0 + 10.4}, step(0, 10, "a.cu.o"), step(0, 20, HOSTILE), {"ninja": 1, "began": T0 + 10},
        step(9.999, 30, "cutlass_b.cu.o"), {"ninja": 2, "began": T0 + 1055}, step(0, 5, "c.cpp.o", ninja=2, hit=True),
        step(5, 6, "x.so", ninja=2, hit=None), step(5, 2, "back.o"), step(1, 2, "nobody.o", ninja=9), {"ninja": "1"},
    )  # fmt: skip
    budget = {"free": 2**32, "reserve": 2**30, "held": 2**28, "promised": 2**31, "running": 1, "waiting": 1}
    compiler = {"job": 1, "source": HOSTILE, "kind": "cuda"}
    write(
        tmp_path / "gate.jsonl",
        {"t": T0 + 10, "event": "opened"}, {"t": T0 + 11, "event": "waits", **compiler, "why": "memory"},
        {"t": T0 + 12, "event": "budget", "why": "memory", **budget}, {"t": T0 + 13, "event": "started", **compiler},
        {"t": T0 + 20, "event": "budget", "why": "", **budget, "waiting": 0},
        {"t": T0 + 25, "event": "ended", **compiler, "status": 0, "predicted": 2**30, "origin": HOSTILE, "peak": 2**31,
         "seconds": 12.0, "waited": 2.0},
    )  # fmt: skip
    return read_timeline(Journal(tmp_path / "journal.jsonl"), tmp_path, "R")


def test_time_stands_still_between_the_starts_of_a_run(timeline: Timeline) -> None:
    assert timeline.seconds == 100 and timeline.breaks == (50,)
    assert [(one.name, one.start, one.end, one.state) for one in timeline.stages] == [
        ("tools", 1, 5, "done"), ("compile", 5, 50, "died"), ("compile", 51, 90, "done"),
    ]  # fmt: skip
    assert [(one.name, one.start, one.end) for one in timeline.phases] == [
        ("requirements", 6, 10), ("build", 10, 50), ("build", 55, 80), ("package", 80, 90),
    ]  # fmt: skip
    assert (
        timeline.peak_memory == 3 * 2**29 and timeline.memory_limit == 600 * 2**20 + 2**31 and timeline.hits == (1, 4)
    )


def test_steps_at_once_are_in_lanes_of_their_own(timeline: Timeline) -> None:
    found = {one.output: (one.start, one.end, one.lane, one.kind) for one in timeline.steps}
    assert found == {
        "a.cu.o": (10, 20, 0, "cuda"), HOSTILE: (10, 30, 1, "cuda"), "cutlass_b.cu.o": (19.999, 40, 0, "heavy"),
        "c.cpp.o": (55, 60, 0, "compiled"), "x.so": (60, 61, 0, "linked"),
    }  # fmt: skip
    assert [[phase.name for phase in timeline.phases_of(one)] for one in timeline.stages] == [
        [], ["requirements", "build"], ["build", "package"],
    ]  # fmt: skip
    assert timeline.slowest[0].output == "cutlass_b.cu.o"
    assert timeline.concurrency == pytest.approx(56.001 / 36)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else_and_believes_no_name(timeline: Timeline) -> None:
    page = timeline_page(timeline)
    reader = Reader()
    reader.feed(page)
    assert [tag for tag, _ in reader.tags].count("script") == 1, "its own"
    assert "<script>alert" not in page and "<b>p" not in page and "\x1b" not in page and "\u202e" not in page
    assert "evil/<script>alert(1)</script>" in reader.text and "{{ 7*7 }}" in reader.text
    for _, attributes in reader.tags:
        assert not {"src", "href", "onclick", "onload"} & set(attributes)
    assert not re.search(r"https?://|url\(|@import", page)
    assert "2.0 GiB" in reader.text and "waited because there was not enough memory" in reader.text
    assert "up to 1.5 GiB, limit 2.6 GiB (/sys/fs/cgroup/memory.max)" in reader.text
    assert "bar: measured" in page and "mark: expected" in page and "waiting at the gate is left out" in page
    lost = timeline_page(replace(timeline, gate=replace(timeline.gate, lost=True)))
    assert "got no answer at the gate" in lost and "got no answer at the gate" not in page
    assert page.count("<polyline") == 2 and 'class="over"' in page
    assert [attributes["class"] for tag, attributes in reader.tags if tag == "rect"].count("hit") == 1


def test_the_trace_is_of_the_format_that_perfetto_reads(timeline: Timeline) -> None:
    found = json.loads(json.dumps(trace(timeline)))
    spans = [one for one in found["traceEvents"] if one["ph"] == "X"]
    assert {one["ph"] for one in found["traceEvents"]} == {"M", "X", "C", "i"}
    for one in found["traceEvents"]:
        assert isinstance(one["pid"], int) and isinstance(one["tid"], int) and isinstance(one["name"], str)
        assert one["ph"] == "M" or (isinstance(one["ts"], int) and one["ts"] >= 0)
        assert one["ph"] != "C" or all(isinstance(value, (int, float)) for value in one["args"].values())
    assert all(isinstance(one["dur"], int) and one["dur"] >= 0 for one in spans)
    assert next(one for one in spans if one["name"] == "a.cu.o")["ts"] == 10_000_000
    # In one thread spans must not overlap.
    for thread in {(one["pid"], one["tid"]) for one in spans}:
        ends = 0
        for one in sorted((s for s in spans if (s["pid"], s["tid"]) == thread), key=lambda s: s["ts"]):
            assert one["ts"] >= ends - 2000
            ends = one["ts"] + one["dur"]


def test_a_step_is_drawn_from_where_it_began_to_work(tmp_path: Path) -> None:
    write(
        tmp_path / "journal.jsonl", {"event": "run", "time": T0, "id": "R"}, {"event": "x", "time": T0 + 99, "run": "R"}
    )
    write(
        tmp_path / "steps.jsonl",
        {"ninja": 1, "began": T0}, step(0, 10, "a.o"), {**step(0, 20, "b.o"), "waited": 10_000},
        {**step(0, 5, "c.o"), "waited": 99_000},
    )  # fmt: skip
    found = {one.output: one for one in read_timeline(Journal(tmp_path / "journal.jsonl"), tmp_path, "R").steps}
    assert (found["b.o"].start, found["b.o"].waited, found["b.o"].lane) == (10, 10, found["a.o"].lane)
    assert found["c.o"].start == found["c.o"].end == 5


def test_the_document_follows_its_schema(timeline: Timeline, validate: Callable[[str, object], None]) -> None:
    validate("timeline", timeline.to_json())


def test_a_run_that_wrote_nothing_has_an_empty_timeline(tmp_path: Path) -> None:
    nothing = read_timeline(Journal(tmp_path / "journal.jsonl"), tmp_path, "R")
    assert nothing.seconds == 0 and nothing.steps == () and "Nothing was compiled" in timeline_page(nothing)
    assert all(one["ph"] == "M" for one in trace(nothing)["traceEvents"])


def test_samples_grow_seldom_and_lose_no_peak(tmp_path: Path, validate: Callable[[str, object], None]) -> None:
    samples = Samples(tmp_path)
    for second in range(4 * 3600):
        memory = 99 if second == 7213 else 5
        samples.add(
            Progress("build", elapsed=float(second), memory=memory, disk_free=1000 - (second == 7213)), T0 + second
        )
    found = read_samples(tmp_path)
    assert 1500 < len(found) < 3500
    for line in (tmp_path / "samples.jsonl").read_text().splitlines()[::500]:
        validate("sample", json.loads(line))
    assert max(one.memory for one in found) == 99 and min(one.disk_free for one in found) == 999


def test_steps_of_a_resumed_run_are_of_other_ninjas(tmp_path: Path) -> None:
    for start in (0, 1000):
        steps = Steps(tmp_path)
        steps.add([(Finished(Edge(f"{start}.o", 0, 500), 1), None, 0.0)], {1: T0 + start})
        with (tmp_path / "steps.jsonl").open("a") as stream:
            stream.write('{"ninja": 1, "sta')  # killed while writing
    assert [(one.output, one.start - T0, one.ninja) for one in read_steps(tmp_path)] == [
        ("0.o", 0, 1),
        ("1000.o", 1000, 2),
    ]


def test_five_thousand_steps_stay_a_small_page(timeline: Timeline) -> None:
    long = "cpp/tensorrt_llm/kernels/cutlass_kernels/fpA_intB_gemm/launchers/CMakeFiles/gemm_src.dir/launcher_{}.cu.o"
    one = timeline.steps[0]
    many = tuple(replace(one, output=long.format(i), start=i / 64, end=i / 64 + 1, lane=i % 64) for i in range(5000))
    assert len(timeline_page(replace(timeline, steps=many))) < 1_500_000
