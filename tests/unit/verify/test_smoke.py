"""The smoke test on toy packages; the installation itself is tested in tests/integration/verify."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.process import group_members, read_stat
from trtllm_builder.verify.smoke import Answer, Smoke, exercise, private_environment
from trtllm_builder.verify.watch import Tree

Try = Callable[..., Smoke]
ASK = Answer("model", "abc", "model:cba")
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


@pytest.fixture
def attempt(tmp_path: Path, make_wheel: Callable[..., Path]) -> Try:
    """Unpacks a toy wheel into an environment made by hand and exercises it."""

    def run(
        members: dict[str, str] | None = None,
        *,
        answer: Answer | None = ASK,
        stall: float = 20.0,
        deadline: float = 30.0,
        build_info: bool = True,
    ) -> Smoke:
        env = tmp_path / "env"
        site = env / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
        site.mkdir(parents=True)
        (env / "bin").mkdir()
        (env / "bin" / "python").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
        (env / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}\n")  # type: ignore[attr-defined]
        with zipfile.ZipFile(make_wheel(members)) as archive:
            archive.extractall(site)
        return exercise(
            env / "bin" / "python",
            tmp_path,
            modules=("tensorrt_llm",),
            build_info=build_info,
            answer=answer,
            environ=private_environment(tmp_path),
            stall=stall,
            deadline=deadline,
        )

    return run


def test_a_sound_wheel_answers(attempt: Try) -> None:
    tried = attempt()
    assert (tried.outcome, tried.phase, tried.diagnosis) == ("ok", "exit", None)
    assert (tried.version, tried.multi_device, tried.answer) == ("1.2.0+sd.cu130.sm89", 0, "model:cba")
    assert tried.import_seconds is not None and tried.answer_seconds is not None
    assert tried.left_behind == 0


def test_strings_are_answers_too_and_no_answer_is_asked(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": SPAWNED.format(body="pass", method="spawn")})
    assert (tried.outcome, tried.answer) == ("ok", "cba")


def test_without_a_model_only_the_import(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": "class LLM: pass"}, answer=None)
    assert (tried.outcome, tried.phase, tried.answer) == ("ok", "exit", None)


def test_the_world_of_the_test_is_clean(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    show = "import os, sys\nprint(os.listdir('.'), sorted(os.environ), sys.path)\nclass LLM: pass"
    tried = attempt({"tensorrt_llm/llm.py": show}, answer=None)
    assert tried.output.startswith("[] [")
    assert (
        "SECRET_TOKEN" not in tried.output and "elsewhere" not in tried.output and "trtllm_builder/" not in tried.output
    )


def test_a_hang_at_import_is_seen_dumped_and_ended(attempt: Try, tmp_path: Path) -> None:
    started = time.monotonic()
    tried = attempt(
        {"tensorrt_llm/llm.py": f"def mpi_comm():\n    {HANG.replace(chr(10), chr(10) + '    ')}\nmpi_comm()"},
        stall=0.5,
    )
    assert time.monotonic() - started < 10
    assert (tried.outcome, tried.phase) == ("hang", "import")
    assert tried.diagnosis and tried.diagnosis.id == "mpi-hang-import"
    assert "tensorrt_llm/llm.py" in tried.stack and "mpi_comm" in tried.stack
    assert str(tmp_path) not in tried.stack
    assert not group_members(int(tried.stack.split("process ")[1].split(":")[0]))


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


@pytest.mark.parametrize(
    ("code", "phase", "diagnosis"),
    [
        ("raise ImportError('libmpi.so.40: cannot open shared object file: No such file')", "import", "libmpi-missing"),
        ("import ctypes; ctypes.CDLL('libnothing.so.1')", "import", "library-missing"),
        ("import os; os.kill(os.getpid(), 11)", "import", "crashed"),
        ("import os; os._exit(0)", "import", "ended-early"),
        ("import sys; sys.exit(0)", "import", "import-failed"),
        ("class LLM:\n    def __init__(self, model): raise RuntimeError('boom')", "answer", "answer-failed"),
    ],
)
def test_failures(attempt: Try, code: str, phase: str, diagnosis: str) -> None:
    tried = attempt({"tensorrt_llm/llm.py": code})
    assert (tried.outcome, tried.phase) == ("failed", phase)
    assert tried.diagnosis and tried.diagnosis.id == diagnosis


def test_a_dead_worker(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": SPAWNED.format(body="import os; os._exit(1)", method="spawn")})
    assert tried.outcome == "failed"
    assert tried.diagnosis and tried.diagnosis.id == "worker-died"


def test_processes_left_behind_are_counted_and_ended(attempt: Try) -> None:
    code = "import subprocess\np = subprocess.Popen(['sleep', '300'], start_new_session=True)\nprint('pid', p.pid)\n"
    # One look at the tree must fall between the start of the child and the end of its parent.
    tried = attempt({"tensorrt_llm/llm.py": code + "class LLM: pass\nimport time\ntime.sleep(0.3)"}, answer=None)
    assert tried.outcome == "ok"
    assert tried.left_behind == 1
    assert not living(int(tried.output.split()[1]))


def test_a_tree_counts_its_dead() -> None:
    tree = Tree(os.getpid())
    tree.seen[2**22 + 1] = (1, 1000, 5000)
    cpu, io = tree.sample()
    assert cpu >= 1000 / os.sysconf("SC_CLK_TCK")
    assert io >= 5000
    assert tree.alive() == [pid for pid in tree.alive() if pid != 2**22 + 1]
