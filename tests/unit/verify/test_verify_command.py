"""``trtllm-build verify`` as a command: what it refuses, what it finds and how it ends when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.cli import verify as command
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.process import read_stat
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.store import fill
from trtllm_builder.verify.audit import require_file


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.whl")
    (tmp_path / "link.whl").symlink_to("nowhere")
    for path, why in (
        (tmp_path / "pipe.whl", "is a pipe, not a file"),
        (tmp_path, "is a directory, not a file"),
        (Path("/dev/null"), "is a device, not a file"),
        (tmp_path / "absent.whl", "cannot be read: no such file or directory"),
        (tmp_path / "link.whl", "cannot be read: no such file or directory"),
        (tmp_path / ("x" * 300), "cannot be read: file name too long"),
    ):
        with pytest.raises(UsageError, match=why):
            require_file(path)
        with pytest.raises(UsageError, match=why):
            command.verify(path)


def test_our_own_cuobjdump_is_used(
    make_wheel: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = TOOLS["cuobjdump"]
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "path", [])
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(HostError, match="needs NVIDIA's cuobjdump") as caught:
        command.verify(make_wheel(), cross_check=True)
    assert "pip install nvidia-cuda-cuobjdump" in caught.value.remedy

    def make(tree: Path, _scratch: Path) -> tuple[dict[str, str], tuple[str, ...]]:
        program = tree / tool.binary
        program.parent.mkdir(parents=True)
        program.touch(0o755)
        return {}, (tool.binary,)

    directory = tool.directory(tmp_path / "data" / "trtllm-builder")
    fill(directory, make, lambda _: None)
    assert command._cuobjdump() == directory / tool.binary


def test_a_page_is_a_file_and_its_disk_loses_no_report(
    make_wheel: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (page := tmp_path / "page.html").symlink_to("/dev/full")
    with pytest.raises(UsageError, match="- is none"):
        command.verify(make_wheel(), html=Path("-"))
    with pytest.raises(HostError, match=r"page\.html could not be written"):
        command.verify(make_wheel(version="1.0"), html=page)
    assert "passed: archive" in capsys.readouterr().out


STAY = """
import os, time
open({path!r}, "w").write(str(os.getpid()))
time.sleep(60)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_tested_process_and_leaves_nothing(
    make_wheel: Callable[..., Path], tmp_path: Path, number: int, status: int
) -> None:
    path, temporary = tmp_path / "pid", tmp_path / "temporary"
    temporary.mkdir()
    wheel = make_wheel({"tensorrt_llm/llm.py": STAY.format(path=str(path))})
    ours = subprocess.Popen(
        [sys.executable, "-m", "trtllm_builder", "verify", "--import", wheel],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 40
    while not (path.exists() and path.read_text()) and ours.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    ours.send_signal(number)
    _, said = ours.communicate(timeout=20)
    assert ours.returncode == status, said
    assert f"stopped by {signal.Signals(number).name}" in said
    assert "starts anew" in said
    assert read_stat(int(path.read_text())) is None
    assert list(temporary.iterdir()) == []
