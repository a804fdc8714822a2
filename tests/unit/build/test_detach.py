"""Stepping away: who waits hears how it ended before it let go, and Ctrl-C ends both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trtllm_builder.process import processes

SCRIPT = """
import os, sys, time
from pathlib import Path
from trtllm_builder.build.detach import step_away
away = step_away()
if isinstance(away, int):
    print("status", away)
    sys.exit(away)
print("alone", os.getpid(), flush=True)
{doing}
"""


def start(doing: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(doing=doing), *words], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("doing", "status"),
    [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137), ("away.let_go(Path('/nowhere/at/all'))", 0)],
)
def test_the_status_before_it_lets_go(doing: str, status: int) -> None:
    child = start(doing)
    shown, _ = child.communicate(timeout=20)
    assert child.returncode == status and f"status {status}" in shown and "alone" in shown


def test_what_is_printed_later_goes_to_the_console(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    child = start(f"away.let_go(Path({str(console)!r})); print('later', flush=True); os.write(2, b'too')")
    shown, _ = child.communicate(timeout=20)
    assert "later" not in shown and child.returncode == 0
    deadline = time.monotonic() + 10
    while (not console.exists() or console.read_text() != "later\ntoo") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert console.read_text() == "later\ntoo"


def test_ctrl_c_while_waiting_ends_both() -> None:
    child = start("time.sleep(600)")
    assert child.stdout is not None
    with child.stdout as shown:
        alone = int(shown.readline().split()[1])
        session = processes()[alone].session
        assert session != os.getsid(child.pid)
        # It may be ignored in a shell's background, which is where tests may run.
        child.send_signal(signal.SIGINT)
        if child.poll() is None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            child.kill()
            os.kill(alone, signal.SIGKILL)
            pytest.skip("this shell ignores SIGINT")
        assert child.wait(20) != 0
    assert not any(stat.session == session for stat in processes().values())
