from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from trtllm_builder.build.progress import Progress
from trtllm_builder.build.supervisor import supervise
from trtllm_builder.process import group_members, read_stat

ENV = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_reach_the_log_cleaned_and_redacted(tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = supervise(
        python(r"import sys; print('\x1b]0;evil\x07[1/2] a https://me:secret@host/x'); sys.stderr.write('b\r\nlast')"),
        env=ENV,
        cwd=tmp_path,
        log=tmp_path / "log",
        on_progress=lambda progress, line: lines.append(line) if line is not None else None,
    )
    assert outcome.returncode == 0
    assert lines == ["[1/2] a https://***@host/x", "b", "last"]
    assert (tmp_path / "log").read_text().splitlines() == lines


def test_a_prompt_ends_instead_of_waiting(tmp_path: Path) -> None:
    outcome = supervise(python("input('go on? ')"), env=ENV, cwd=tmp_path, log=tmp_path / "log")
    assert outcome.returncode == 1 and "EOFError" in (tmp_path / "log").read_text()


def test_memory_is_measured_over_the_whole_tree(tmp_path: Path) -> None:
    grandchild = "x = bytearray(200_000_000); import time; time.sleep(1.5)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    outcome = supervise(python(code), env=ENV, cwd=tmp_path, log=tmp_path / "log")
    assert 200_000_000 <= outcome.peak_memory < 400_000_000


def test_an_exception_ends_the_whole_group(tmp_path: Path) -> None:
    groups: list[tuple[int, int]] = []
    code = "import subprocess, sys; print('up'); subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"

    def stop(progress: Progress, line: str | None) -> None:
        if line == "up":
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        supervise(
            python(code),
            env=ENV,
            cwd=tmp_path,
            log=tmp_path / "log",
            on_start=lambda group, start: groups.append((group, start)),
            on_progress=stop,
        )
    assert group_members(groups[0][0]) == ()


def test_nothing_left_behind_outlives_a_build_that_ended_well(tmp_path: Path) -> None:
    # The orphan keeps the output pipe open, which must not keep us waiting either.
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    lines: list[str] = []
    started = time.monotonic()
    outcome = supervise(
        python(code),
        env=ENV,
        cwd=tmp_path,
        log=tmp_path / "log",
        on_progress=lambda progress, line: lines.append(line) if line else None,
    )
    assert outcome.returncode == 0 and time.monotonic() - started < 30
    stat = read_stat(int(lines[0]))
    assert stat is None or stat.state in "ZX"
