"""The gate's client is compiled where it is to run, or it is said why it cannot be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError
from trtllm_builder.gate.launcher import CLIENT, install_client

pytestmark = pytest.mark.integration


def test_a_c_plus_plus_compiler_alone_will_do(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("g++", "as", "ld", "true"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    install_client(tmp_path / "gate", {"PATH": str(tmp_path / "bin")})
    assert subprocess.run([tmp_path / "gate" / CLIENT, "true"], check=False).returncode == 0


def test_without_a_compiler_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no C compiler on PATH"):
        install_client(tmp_path, {"PATH": "/nowhere"})


def test_what_a_broken_compiler_says_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "cc").write_text("#!/bin/sh\necho 'cc1: fatal: no room' >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    with pytest.raises(HostError, match="cc1: fatal: no room"):
        install_client(tmp_path / "gate", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert not (tmp_path / "gate" / CLIENT).exists()


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "noexec"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,size=4m", "none", place], check=False)
    if made.returncode != 0:
        pytest.skip("no right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_runs_nothing_is_named(noexec: Path) -> None:
    with pytest.raises(HostError, match="does not run: Permission denied") as caught:
        install_client(noexec / "gate", {"PATH": os.environ["PATH"]})
    assert "noexec" in (caught.value.remedy or "")
