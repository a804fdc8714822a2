"""Hangs and workers: real processes that take a second each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trtllm_builder.process import read_stat
from trtllm_builder.verify.smoke import Smoke

pytestmark = pytest.mark.integration
Try = Callable[..., Smoke]
HANG = "import threading\nthreading.Event().wait()\n"
SPAWNED = """
import multiprocessing, threading, time
from tensorrt_llm.version import __version__
def work(prompt):
    {body}
    return prompt[::-1]
class LLM:
    def __init__(self, model): pass
    def generate(self, prompts):
        import concurrent.futures as futures
        with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("{method}")) as pool:
            return [pool.submit(work, prompt).result() for prompt in prompts]
"""


def living(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.state not in "ZX"


def test_a_hang_at_first_use(attempt: Try) -> None:
    tried = attempt(
        {"tensorrt_llm/llm.py": f"class LLM:\n    def __init__(self, model):\n        {HANG.replace(chr(10), '; ')}"},
        stall=0.5,
    )
    assert (tried.outcome, tried.phase) == ("hang", "answer")
    assert tried.diagnosis and tried.diagnosis.id == "hang-answer"
    assert tried.import_seconds is not None


def test_a_polling_loop_is_a_hang(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": "import time\nwhile True: time.sleep(0.1)"}, stall=0.6, deadline=15)
    assert tried.outcome == "hang"


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_hanging_worker_is_dumped_too_and_does_not_survive(attempt: Try, method: str) -> None:
    llm = SPAWNED.format(body="threading.Event().wait()", method=method)
    tried = attempt({"tensorrt_llm/llm.py": llm}, stall=0.6)
    assert (tried.outcome, tried.phase) == ("hang", "answer")
    processes = [int(part.split(":")[0]) for part in tried.stack.split("process ")[1:]]
    if method == "spawn":
        assert " in work" in tried.stack and len(processes) == 2
    assert not any(map(living, processes))


def test_a_busy_import_is_no_hang(attempt: Try) -> None:
    busy = "import time\nuntil = time.monotonic() + 1.0\nwhile time.monotonic() < until: pass\nclass LLM: pass"
    tried = attempt({"tensorrt_llm/llm.py": busy}, stall=0.5, answer=None)
    assert tried.outcome == "ok"
    assert tried.import_seconds and tried.import_seconds > 0.9


def test_work_in_a_worker_with_its_own_session_is_progress(attempt: Try) -> None:
    body = "import os; os.setsid(); until = time.monotonic() + 1.0\n    while time.monotonic() < until: pass"
    tried = attempt({"tensorrt_llm/llm.py": SPAWNED.format(body=body, method="spawn")}, stall=0.5)
    assert (tried.outcome, tried.answer) == ("ok", "cba")


def test_the_ceiling_holds_for_busy_code(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": "while True: pass"}, deadline=0.5)
    assert (tried.outcome, tried.phase) == ("deadline", "import")
    assert tried.diagnosis and tried.diagnosis.id == "deadline"
    assert "tensorrt_llm/llm.py" in tried.stack


def test_processes_left_behind_are_counted_and_ended(attempt: Try) -> None:
    code = "import subprocess\np = subprocess.Popen(['sleep', '300'], start_new_session=True)\nprint('pid', p.pid)\n"
    # One look at the tree must fall between the start of the child and the end of its parent.
    tried = attempt({"tensorrt_llm/llm.py": code + "class LLM: pass\nimport time\ntime.sleep(0.3)"}, answer=None)
    assert tried.outcome == "ok"
    assert tried.left_behind == 1
    assert not living(int(tried.output.split()[1]))


def test_strings_are_answers_too_and_no_answer_is_asked(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": SPAWNED.format(body="pass", method="spawn")})
    assert (tried.outcome, tried.answer) == ("ok", "cba")


def test_a_dead_worker(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": SPAWNED.format(body="import os; os._exit(1)", method="spawn")})
    assert tried.outcome == "failed"
    assert tried.diagnosis and tried.diagnosis.id == "worker-died"
