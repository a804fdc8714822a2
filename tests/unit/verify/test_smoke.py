"""The smoke test on toy packages; what takes longer, and the installation, is in tests/integration/verify."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError
from trtllm_builder.process import group_members
from trtllm_builder.verify.smoke import Smoke, smoke
from trtllm_builder.verify.watch import Tree

Try = Callable[..., Smoke]


def test_a_sound_wheel_answers(attempt: Try) -> None:
    tried = attempt()
    assert (tried.outcome, tried.phase, tried.diagnosis) == ("ok", "exit", None)
    assert (tried.version, tried.multi_device, tried.answer) == ("1.2.0+sd.cu130.sm89", 0, "model:cba")
    assert tried.import_seconds is not None and tried.answer_seconds is not None
    assert tried.left_behind == 0


def test_without_a_model_only_the_import(attempt: Try) -> None:
    tried = attempt({"tensorrt_llm/llm.py": "class LLM: pass"}, answer=None)
    assert (tried.outcome, tried.phase, tried.answer) == ("ok", "exit", None)


def test_the_world_of_the_test_is_clean(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    show = "import os, sys\nprint(os.listdir('.'), sorted(os.environ), sys.path)\nclass LLM: pass"
    tried = attempt({"tensorrt_llm/llm.py": show}, answer=None)
    assert tried.output.startswith("[] [")
    assert not any(word in tried.output for word in ("SECRET_TOKEN", "elsewhere", "trtllm_builder/"))


@pytest.mark.parametrize(("seconds", "left"), [("0.1", 0), ("60", 1)])
def test_only_what_stays_is_left_behind(attempt: Try, seconds: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtllm_builder.verify.exercise._FAREWELL", 0.5)
    code = f"import subprocess\nsubprocess.Popen(['sleep', '{seconds}'])\nclass LLM: pass"
    tried = attempt({"tensorrt_llm/llm.py": code}, answer=None)
    assert (tried.outcome, tried.left_behind) == ("ok", left)


def test_a_hang_at_import_is_seen_dumped_and_ended(attempt: Try, tmp_path: Path) -> None:
    started = time.monotonic()
    tried = attempt(
        {"tensorrt_llm/llm.py": "import threading\ndef mpi_comm():\n    threading.Event().wait()\nmpi_comm()"},
        stall=0.5,
    )
    assert time.monotonic() - started < 10
    assert (tried.outcome, tried.phase) == ("hang", "import")
    assert tried.diagnosis and tried.diagnosis.id == "mpi-hang-import"
    assert "tensorrt_llm/llm.py" in tried.stack and "mpi_comm" in tried.stack
    assert str(tmp_path) not in tried.stack
    assert not group_members(int(tried.stack.split("process ")[1].split(":")[0]))


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


def test_a_tree_counts_its_dead() -> None:
    tree = Tree(os.getpid())
    tree.seen[2**22 + 1] = (1, 1000, 5000)
    cpu, io = tree.sample()
    assert cpu >= 1000 / os.sysconf("SC_CLK_TCK")
    assert io >= 5000
    assert tree.alive() == [pid for pid in tree.alive() if pid != 2**22 + 1]


def test_an_interpreter_that_is_none(make_wheel: Callable[..., Path], tmp_path: Path) -> None:
    for program in ("/nonexistent/python", "/bin/false"):
        with pytest.raises(HostError, match="cannot be run as a Python interpreter"):
            smoke(make_wheel(), Path(program), directory=tmp_path / "smoke", deadline=1)
