"""A timeline as Chrome's trace events, which Perfetto and chrome://tracing open.

Format: the Trace Event Format's JSON object form: ``ph`` X is a span with ``ts`` and ``dur``, C a counter, i an
instant, M metadata; times in microseconds.
"""

from __future__ import annotations

from typing import Any

from trtllm_builder.build.timeline import Placed, Span, Timeline

_STAGES, _STEPS, _USE = 1, 2, 3


def trace(timeline: Timeline) -> dict[str, Any]:
    """One process for the stages, one with a thread for each lane of build steps, one for what was used."""
    events = [
        *(_named(pid, name) for pid, name in ((_STAGES, "stages"), (_STEPS, "build steps"), (_USE, "use"))),
        _thread(_STAGES, 1, "stages"),
        _thread(_STAGES, 2, "upstream's phases"),
        *(_thread(_STEPS, lane + 1, f"lane {lane + 1}") for lane in range(timeline.lanes)),
        *(_span(span, 1) for span in timeline.stages),
        *(_span(span, 2) for span in timeline.phases),
        *(_step(step) for step in timeline.steps),
    ]
    for at in timeline.breaks:
        events.append({"ph": "i", "name": "interrupted", "pid": _STAGES, "tid": 1, "ts": _us(at), "s": "g"})
    for point in timeline.points:
        for name, value in (
            ("memory, MiB", point.memory / 2**20),
            ("disk taken, MiB", point.disk_taken / 2**20),
            ("cores busy", point.cpu),
            ("jobs", point.jobs),
        ):
            events.append(
                {"ph": "C", "name": name, "pid": _USE, "tid": 0, "ts": _us(point.at), "args": {"": round(value, 2)}}
            )
    for moment in timeline.gate.points:
        for name, value in (
            ("compilers hold, MiB", moment.held / 2**20),
            ("compilers may hold, MiB", moment.may / 2**20),
            ("promised to compilers, MiB", moment.promised / 2**20),
            ("compilers waiting", moment.waiting),
        ):
            args = {"": round(value, 2)}
            events.append({"ph": "C", "name": name, "pid": _USE, "tid": 0, "ts": _us(moment.at), "args": args})
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"run": timeline.run, "profile": timeline.profile, "began": timeline.began},
    }


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _named(pid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}


def _thread(pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}


def _span(span: Span, tid: int) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "cat": "stage",
        "pid": _STAGES,
        "tid": tid,
        "ts": _us(span.start),
        "dur": _us(span.end) - _us(span.start),
        "args": {"state": span.state},
    }


def _step(step: Placed) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": step.output.rsplit("/", 1)[-1] or step.output,
        "cat": step.kind if not step.hit else "hit",
        "pid": _STEPS,
        "tid": step.lane + 1,
        "ts": _us(step.start),
        "dur": _us(step.end) - _us(step.start),
        "args": {"output": step.output, "hit": step.hit, "waited": step.waited},
    }
