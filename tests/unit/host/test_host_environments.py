"""Environments as virtualenv makes them for us, from a real interpreter."""

from __future__ import annotations

import os
import platform
import subprocess
import venv
from pathlib import Path

from trtllm_builder.host.environments import begins_with, make_environment


def test_one_without_ensurepip_gets_a_pip_that_says_what_it_would_take(tmp_path: Path) -> None:
    # A Python as Debian's without python3-venv: importing ensurepip fails, and it has no pip of its own.
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (library,) = (tmp_path / "bare/lib").glob("python3*/site-packages")
    (library / "usercustomize.pth").write_text("import sys; sys.modules['ensurepip'] = None\n")
    settings = {"VIRTUALENV_NO_PIP": "1", "VIRTUALENV_DOWNLOAD": "1", "VIRTUALENV_APP_DATA": str(tmp_path / "shared")}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), **settings}
    made = make_environment(tmp_path / "bare/bin/python", tmp_path / "env", env)
    assert made.ok, made.stderr
    python = tmp_path / "env/bin/python"
    asked = [str(python), "-m", "pip", "install", "--no-index", "--dry-run", "--quiet", "--report", "-", "pip"]
    done = subprocess.run(asked, env=env, capture_output=True, text=True, check=True)
    assert '"install": []' in done.stdout
    assert not (tmp_path / "shared").exists() and not list((tmp_path / "home").glob(".[cl]*"))
    assert not (tmp_path / "env/unpacked").exists()
    # What it begins with is known beforehand.
    begun = begins_with(platform.python_version())
    inside = (tmp_path / "env/lib").glob("python3*/site-packages/*.dist-info")
    assert {f"{name}-{version}.dist-info" for name, version, _ in begun} == {path.name for path in inside}
    assert all(wheel.is_file() for _, _, wheel in begun)


def test_setuptools_is_there_up_to_3_11() -> None:
    assert [[name for name, _, _ in begins_with(version)] for version in ("3.10", "3.11.7", "3.12.1", "3.13.0")] == [
        ["pip", "setuptools"], ["pip", "setuptools"], ["pip"], ["pip"],
    ]  # fmt: skip


def test_what_is_no_python_is_said(tmp_path: Path) -> None:
    made = make_environment(tmp_path / "python", tmp_path / "env", {"PATH": os.environ["PATH"]})
    assert not made.ok and str(tmp_path / "python") in made.last_line
