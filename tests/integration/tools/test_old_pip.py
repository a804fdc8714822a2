"""A Python whose venv brings an old pip, as Ubuntu 22.04 does: the build gets one that can say what it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trtllm_builder.build.toolchain import make_venv
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError

pytestmark = pytest.mark.integration


def venv_of(tmp_path: Path, **environ: str) -> Workspace:
    old = tmp_path / "python3"
    old.write_text(
        f'#!/bin/sh\n{sys.executable} "$@" && PIP_NO_INDEX= "$3/bin/python" -m pip install -q --no-deps pip==22.0.2\n'
    )
    old.chmod(0o755)
    workspace = Workspace(tmp_path / "w")
    plan = SimpleNamespace(python=SimpleNamespace(value=str(old)), python_version="3.11.0")
    with (tmp_path / "lock").open("w") as lock:
        run: Any = SimpleNamespace(
            workspace=workspace, plan=plan, lock=lock.fileno(), note_child=lambda *_: None,
            environment={**os.environ, "HOME": str(tmp_path), **environ},
        )  # fmt: skip
        make_venv(run)
    return workspace


def test_an_old_pip_is_renewed(tmp_path: Path) -> None:
    python = venv_of(tmp_path).venv / "bin/python"
    asked = [python, "-m", "pip", "install", "--dry-run", "--report", "-", "--quiet", "pip"]
    assert "usage" not in subprocess.run(asked, capture_output=True, text=True, check=True).stderr


def test_an_old_pip_that_cannot_be_renewed_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="could not be had"):
        venv_of(tmp_path, PIP_NO_INDEX="1")
