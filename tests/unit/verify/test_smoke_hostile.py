"""Wheels that do to the smoke test what no sound wheel does."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.process import read_stat
from trtllm_builder.verify import exercise as exercise_module
from trtllm_builder.verify.capture import Capture
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.progress import Progress, read_progress
from trtllm_builder.verify.smoke import Smoke
from trtllm_builder.verify.subreaper import adopting
from trtllm_builder.verify.verdict import smoke_checks

Try = Callable[..., Smoke]


def test_a_flood_of_output_is_ended_and_its_end_kept(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercise_module, "_FLOOD", 1 << 20)
    tried = attempt({"tensorrt_llm/llm.py": "while True: print('x' * 999)"})
    assert (tried.outcome, tried.phase) == ("failed", "import")
    assert tried.diagnosis and tried.diagnosis.what == "It floods its output when it is imported: more than 1.0 MiB."
    assert len(tried.output) <= 20_000
    assert any(c.id == "import" and c.fatal for c in smoke_checks(tried, Expectation(), "1"))


def test_a_flood_counts_also_when_it_ended_by_itself(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercise_module, "_FLOOD", 1 << 16)
    tried = attempt({"tensorrt_llm/llm.py": "print('xxxxxxxx\\n' * 9_999)\nclass LLM: pass"}, answer=None)
    assert tried.diagnosis and tried.diagnosis.id == "output-flood"


def test_only_the_end_of_a_pipe_stays_in_memory() -> None:
    capture = Capture(10)
    copy = os.dup(capture.writer)
    capture.start()
    os.write(copy, b"x" * 100_000 + b"\xffthe end")
    os.close(copy)
    capture.finish()
    assert (capture.total, capture.text) == (100_008, "xx\ufffdthe end")


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({path!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
while not (os.path.exists({path!r}) and open({path!r}).read()):
    time.sleep(0.001)
os.wait()
class LLM: pass
"""


def test_a_daemon_is_seen_counted_and_ended(attempt: Try, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The only looks at the processes are those after the daemon has left its session and lost its parent.
    monkeypatch.setattr(exercise_module, "_FAREWELL", 0.1)
    path = tmp_path / "pid"
    tried = attempt({"tensorrt_llm/llm.py": DAEMON.format(path=str(path))}, answer=None, stall=50)
    assert (tried.outcome, tried.left_behind) == ("ok", 1)
    assert read_stat(int(path.read_text())) is None  # not even a zombie of ours


def test_what_was_our_child_before_is_left_alone(attempt: Try) -> None:
    ours = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        assert attempt({"tensorrt_llm/llm.py": "class LLM: pass"}, answer=None).left_behind == 0
        stat = read_stat(ours)
        assert stat and stat.state not in "ZX"
    finally:
        os.kill(ours, 9)
        os.waitpid(ours, 0)


def test_adoption_ends_with_the_test() -> None:
    def now() -> int:
        value = ctypes.c_int()
        ctypes.CDLL(None).prctl(37, ctypes.byref(value), 0, 0, 0)
        return value.value

    before = now()
    with adopting():
        assert now() == 1
    assert now() == before


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "[]", "7", "null", '"phase"', "[" * 100_000, "9" * 10_000, "{}", '{"event": []}', '{"event": "other"}',
        '{"event": "phase"}', '{"event": "phase", "phase": "install"}', '{"event": "phase", "phase": {}}',
        '{"event": "imported"}', '{"event": "imported", "seconds": "1"}', '{"event": "imported", "seconds": NaN}',
        '{"event": "imported", "seconds": -1}', '{"event": "imported", "seconds": true}',
        '{"event": "build-info", "multi_device": null}', '{"event": "build-info", "multi_device": 0.5}',
        '{"event": "answered", "seconds": 1}', '{"event": "answered", "seconds": 1, "text": 1}', '{"event": "error"}',
    ],
)  # fmt: skip
def test_lines_that_are_not_ours_are_ignored(line: str) -> None:
    assert read_progress(f'{line}\n{{"event": "phase", "phase": "exit"}}\n') == Progress(phase="exit")
    assert read_progress(line) == Progress()


@pytest.mark.parametrize(
    ("member", "code", "outcome", "version"),
    [
        ("version", "__version__ = '1\\udcff2'", "ok", "1?2"),
        ("llm", "raise ValueError('boom\\udcff')", "failed", None),
    ],
)
def test_a_lone_surrogate_is_replaced(attempt: Try, member: str, code: str, outcome: str, version: str | None) -> None:
    tried = attempt({f"tensorrt_llm/{member}.py": code}, answer=None)
    assert (tried.outcome, tried.version) == (outcome, version)
    json.dumps(tried.to_json(), ensure_ascii=False).encode()
    assert outcome == "ok" or "boom?" in tried.stack


def test_a_pipe_or_directory_in_the_place_of_our_files_stops_nothing(attempt: Try, tmp_path: Path) -> None:
    code = f"""
import os, time
for name in os.listdir({str(tmp_path / "stacks")!r}):
    path = os.path.join({str(tmp_path / "stacks")!r}, name)
    os.unlink(path)
    os.mkfifo(path)
os.mkdir({str(tmp_path / "progress.jsonl")!r})
for fd in range(3, 64):
    try: os.write(fd, b"garbage\\n")
    except OSError: pass
time.sleep(60)
"""
    started = time.monotonic()
    tried = attempt({"tensorrt_llm/llm.py": code}, stall=0.5)
    assert time.monotonic() - started < 10
    assert (tried.outcome, tried.phase, tried.stack) == ("hang", "import", "")


KILL_PARENT = """
import os, time
while True:
    os.kill(os.getppid(), 9)
    time.sleep(0.001)
"""


def test_a_wheel_that_kills_its_parents_is_a_finding(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": KILL_PARENT}, answer=None)
    assert (tried.outcome, tried.phase) == ("failed", "import")
    assert tried.diagnosis and tried.diagnosis.id == "killed-parent"
    assert "killed its parent process when it is imported: signal 9" in tried.diagnosis.what


def test_a_signal_that_wakes_the_hanging_does_not_move_its_phase(attempt: Try) -> None:
    tried = attempt(
        {"tensorrt_llm/llm.py": "import ctypes\nctypes.CDLL(None).pause()\nclass LLM: pass"}, answer=None, stall=0.5
    )
    assert (tried.outcome, tried.phase) == ("hang", "import")
    assert tried.diagnosis and tried.diagnosis.id == "hang-import"


def test_a_crash_shows_its_own_frame_and_a_kill_claims_no_stack(attempt: Try) -> None:
    deep = "import os\ndef down(n): os.kill(os.getpid(), 11) if n == 0 else down(n - 1)\ndown(60)"
    tried = attempt({"tensorrt_llm/llm.py": deep}, answer=None)
    assert tried.stack.startswith("Fatal Python error: Segmentation fault")
    (failed,) = (c for c in smoke_checks(tried, Expectation(), "1") if c.fatal)
    assert 'tensorrt_llm/llm.py", line 2 in down' in " ".join(map(str, failed.evidence[:6]))


def test_killed_is_often_for_memory(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": "import os; os.kill(os.getpid(), 9)"}, answer=None)
    assert tried.diagnosis and tried.diagnosis.id == "crashed" and "often for memory" in tried.diagnosis.remedy


@pytest.mark.parametrize("message", ["'x' * 99_999", "'line\\n' * 50"])
def test_a_long_message_keeps_its_type(attempt: Try, message: str) -> None:
    tried = attempt({"tensorrt_llm/llm.py": f"raise ValueError({message})"}, answer=None)
    assert tried.diagnosis and ": ValueError: " in tried.diagnosis.what
    (failed,) = (c for c in smoke_checks(tried, Expectation(), "1") if c.fatal)
    assert any(str(one).startswith("ValueError: ") for one in failed.evidence)
