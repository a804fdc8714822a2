"""diffoscope's opinion, from stand-ins for it on PATH: whatever one does, the verdict is ours."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trtllm_builder.build import diffoscope as asked
from trtllm_builder.build.diffoscope import diffoscope

REPORT = "--- a.whl\n+++ b.whl\n├── x.so\n"


def opinion(tmp_path: Path, script: str | None) -> str:
    programs = tmp_path / "bin"
    programs.mkdir()
    if script is not None:
        (programs / "diffoscope").write_text(script)
        (programs / "diffoscope").chmod(0o755)
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "MARK": str(tmp_path / "mark")}
    said = diffoscope(tmp_path / "a.whl", tmp_path / "b.whl", environ, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["bin"], "it left something behind"
    return said


def test_its_report_is_shown(tmp_path: Path) -> None:
    script = f'#!/bin/sh\ntouch $TMPDIR/left\necho "$@" > $MARK\ncat <<END\n{REPORT}END\necho trouble >&2\nexit 1\n'
    assert opinion(tmp_path, script) == REPORT
    words = (tmp_path / "mark").read_text().split()
    assert words[-2:] == [str(tmp_path / "a.whl"), str(tmp_path / "b.whl")] and "--text" in words


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("#!/bin/sh\necho Traceback >&2\necho 'MemoryError: x' >&2\nexit 2\n", "(exit status 2): MemoryError: x"),
        ("#!/bin/sh\necho half a report\nexit 2\n", "gave no report (exit status 2): half a report"),
        ("#!/bin/sh\nexit 1\n", "gave no report (exit status 1)"),
        ("#!/bin/sh\nexit 0\n", "gave no report (exit status 0)"),
        ("#!/bin/sh\nkill -9 $$\n", "gave no report (exit status -9)"),
        ("#!/bin/sh\nexec yes\n", "it wrote without end"),
        ("#!/nowhere/python\n", "cannot be run: No such file or directory"),
        ("\x7fELF", "cannot be run: Exec format error"),
    ],
)
def test_what_it_fails_with_is_a_sentence(tmp_path: Path, script: str, told: str) -> None:
    said = opinion(tmp_path, script)
    assert told in said and said.startswith("diffoscope ") and "\n" not in said


def test_rubbish_is_cleaned_and_cut(tmp_path: Path) -> None:
    script = "#!/bin/sh\nprintf '\\033[31m\\000\\377red\\n'\nhead -c 100000 /dev/zero | tr '\\0' x\nexit 1\n"
    said = opinion(tmp_path, script)
    assert "red" in said and "\x1b" not in said and "\0" not in said and len(said) == 20_000


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "_WITHIN", 0.3)
    begun = time.monotonic()
    said = opinion(tmp_path, "#!/bin/sh\nsleep 60 & echo $! > $MARK\nwait\n")
    assert "had no answer within" in said and time.monotonic() - begun < 10
    assert not is_alive(int((tmp_path / "mark").read_text()))


def is_alive(pid: int) -> bool:
    """One that nobody has reaped yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_without_one_nothing_is_said(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    assert diffoscope(tmp_path / "a.whl", tmp_path / "b.whl", environ, tmp_path) == ""
