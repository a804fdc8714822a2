"""What a run's gate decided, from its lines: waits by reason, budget against use, peaks, lines without sense."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from trtllm_builder.build import gate_told
from trtllm_builder.build.gate import Gate
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.timeline_gate import GateView, read_gate
from trtllm_builder.cli.timeline import _gate_lines
from trtllm_builder.gate.decisions import DECISIONS
from trtllm_builder.gate.launcher import LOST

GIB = 2**30
T0 = 1_790_000_000.0


def event(at: float, kind: str, job: int = 1, **facts: object) -> dict[str, object]:
    return {"t": T0 + at, "event": kind, "job": job, "source": f"{job}.cu", "kind": "cuda", **facts}


def ended(at: float, job: int, peak: float, **facts: object) -> dict[str, object]:
    told = {"status": 0, "predicted": 2 * GIB, "origin": "cuda, by kind", "peak": int(peak * GIB), "seconds": 5.0}
    return event(at, "ended", job, **{**told, **facts})


LINES: list[object] = [
    event(0, "opened"),
    event(0, "waits", 1, why="memory", predicted=1, room=0),
    event(3, "waits", 1, why="pressure", predicted=1, room=0),
    event(4, "started", 1),
    event(4, "started", 2),
    {"t": T0 + 5, "event": "budget", "free": 6 * GIB, "reserve": GIB, "held": 3 * GIB, "promised": 4 * GIB,
     "running": 2, "waiting": 0, "why": ""},
    event(6, "killed", 2, peak=GIB),
    event(6, "waits", 2, why="alone"),
    ended(9, 1, 1.5),
    event(9, "started", 2),
    ended(12, 2, 3.0),
    event(12, "started", 3),
    event(13, "gone", 3),
    event(14, "waits", 4, why="memory"),
    # Gone on with: numbers begin anew, and who waited then waits no more.
    event(100, "opened"),
    event(101, "started", 4),
    ended(103, 4, 1.0, status=1),
    "not an object", {"t": "x", "event": "ended"}, {"t": T0, "event": "budget", "held": -1}, {"t": T0, "event": "new"},
    {"t": T0 + 104, "event": "ended", "job": 9, "predicted": 1, "peak": True, "seconds": 1},
]  # fmt: skip


@pytest.fixture
def view(tmp_path: Path) -> GateView:
    (tmp_path / DECISIONS).write_text("".join(json.dumps(line) + "\n" for line in LINES) + '{"t": 1, "ev')
    return read_gate(tmp_path, lambda moment: moment - T0)


def test_waits_are_counted_by_reason(view: GateView) -> None:
    first, second, third = view.jobs
    assert first.waited == {"memory": 3.0, "pressure": 1.0} and first.waiting == 4 and first.kills == 0
    assert first.told == "there was not enough memory, the kernel reported stalls for memory"
    assert second.waited == {"alone": 3.0} and second.kills == 1 and second.peak == 3 * GIB
    assert (third.status, third.waited) == (1, {})
    assert list(view.waited.values()) == [3.0, 3.0, 1.0] and view.kills == 1 and view.largest[0] is second


def test_what_may_be_held_is_what_is_held_and_what_is_free(view: GateView) -> None:
    (point,) = view.points
    assert (point.at, point.held, point.may, point.promised) == (5.0, 3 * GIB, 8 * GIB, 4 * GIB)


def test_expected_against_measured_in_a_sentence(view: GateView, tmp_path: Path) -> None:
    found = gate_told.summary(tmp_path)
    assert found == {
        "compilers": 3, "waited": 7.0, "kills": 1,
        "kinds": {"cuda": {"count": 2, "predicted": 2 * GIB, "peak": round(2.25 * GIB), "most": 3 * GIB, "over": 1}},
    }  # fmt: skip
    told = gate_told.told(tmp_path)
    assert told == ("3 compilers waited 7.0 s for memory; the largest took 3.0 GiB, expected 2.0 GiB; 1 kill for it")
    assert len(told) <= 100 and gate_told.told(tmp_path / "nothing") == ""


def test_waiting_for_a_core_is_no_news(tmp_path: Path) -> None:
    lines = [event(0, "waits", 1, why="slots"), event(50, "started", 1), ended(60, 1, 1.0)]
    (tmp_path / DECISIONS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert gate_told.told(tmp_path).startswith("1 compiler never waited for memory; ")


def test_a_gate_that_was_lost_and_one_that_refused_are_told_of(tmp_path: Path) -> None:
    lines = [event(0, "waits", 1, why="slots"), ended(6, 1, 1.0), {"t": T0 + 7, "event": "lost"},
             event(8, "waits", 2, why="memory"), event(9, "refused", 2)]  # fmt: skip
    (tmp_path / DECISIONS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    view = read_gate(tmp_path, lambda moment: moment - T0)
    assert view.lost and len(view.jobs) == 1
    assert gate_told.told(tmp_path).startswith("1 compiler (others got no answer at the gate) never waited for memory;")


def test_who_finds_no_broker_is_told_of_and_written_down_once(
    tmp_path: Path, validate: Callable[[str, object], None]
) -> None:
    notes: list[str] = []
    plan = SimpleNamespace(gate=SimpleNamespace(on=True, slots=4), ccache=True, profile="p")
    run: Any = SimpleNamespace(
        plan=plan, material=SimpleNamespace(request=SimpleNamespace(environ={"XDG_STATE_HOME": str(tmp_path)})),
        workspace=SimpleNamespace(root=tmp_path, gate=tmp_path), environment={}, log_directory=tmp_path,
        observer=SimpleNamespace(note=notes.append),
    )  # fmt: skip
    gate = Gate(run, tmp_path / "client")
    gate._broker = cast("Any", SimpleNamespace(failure=None, short=0))
    (tmp_path / LOST).touch()
    for _ in range(2):
        gate.tick(Progress())
    assert len(notes) == 1 and "no more than 4 compilers run at once" in notes[0]
    (line,) = (tmp_path / DECISIONS).read_text().splitlines()
    validate("gate-event", json.loads(line))
    assert read_gate(tmp_path, lambda moment: moment).lost


def test_the_gate_in_words(view: GateView) -> None:
    lines = "\n".join(_gate_lines(replace(view, lost=True)))
    assert "3 compilers at the gate; others got no answer there" in lines
    assert "held at most 3.0 GiB, when the budget was 8.0 GiB\n" in lines
    (point,) = view.points
    tight = "\n".join(_gate_lines(replace(view, points=(replace(point, may=2 * GIB),))))
    assert "when the budget was 2.0 GiB; some took more than was expected, or one had to be let in" in tight
    assert "waited 3.0 s in all because there was not enough memory" in lines and "killed for memory 1 time" in lines
    assert re.search(r"3.0 GiB +2.0 GiB +5.0 s +3.0 s  2.cu \(nothing may run beside one that was killed\)", lines)
    assert "waited" not in "\n".join(_gate_lines(GateView()))
