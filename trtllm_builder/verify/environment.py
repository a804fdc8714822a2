"""A fresh virtual environment with one wheel and its dependencies in it."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.process import Completed, run

_INSTALL_LIMIT = 3600.0  # seconds: PyTorch and its CUDA libraries over a slow line
_PIP_WITH_PYTHON_OPTION = (22, 3)


def installer_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What an installer needs of the user's environment: its own settings, proxies, certificates and PATH."""
    names = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    return {
        key: value
        for key, value in environ.items()
        if key in names or key.startswith(("PIP_", "UV_")) or key.lower().endswith("_proxy")
    }


@dataclass(frozen=True)
class Environment:
    """``python`` runs in it. ``output`` is the installer's, and the reason when not ``ok``. Time in seconds."""

    python: Path
    installer: str
    seconds: float
    ok: bool
    output: str


def make_environment(
    interpreter: Path, wheel: Path, directory: Path, env: Mapping[str, str], extra_args: Sequence[str] = ()
) -> Environment:
    """Makes ``directory`` an environment of ``interpreter`` and installs ``wheel``, bytecode compiled.

    uv does it when it is on env's PATH, unless env configures only pip's index, which uv would not read.
    A failed installation is a result, not an error.
    """
    began = time.monotonic()
    uv = shutil.which("uv", path=env.get("PATH"))
    pip_only = any(key.startswith("PIP_") and ("INDEX" in key or "LINKS" in key) for key in env) and not any(
        key.startswith("UV_") for key in env
    )
    python = directory / "bin" / "python"
    commands = (
        _uv_commands(uv, interpreter, wheel, directory, extra_args)
        if uv and not pip_only
        else _pip_commands(interpreter, wheel, directory, env, extra_args)
    )
    output = ""
    for argv in commands:
        done = run(argv, env=env, timeout=_INSTALL_LIMIT)
        output = "\n".join(part for part in (output, done.stdout, done.stderr) if part).strip()
        if not done.ok:
            return Environment(python, _name(commands), time.monotonic() - began, False, _told(done, output))
    return Environment(python, _name(commands), time.monotonic() - began, True, output)


def _uv_commands(
    uv: str, interpreter: Path, wheel: Path, directory: Path, extra: Sequence[str]
) -> list[list[str | Path]]:
    return [
        [uv, "venv", "--quiet", "--no-config", "--python", interpreter, directory],
        [uv, "pip", "install", "--quiet", "--no-config", "--compile-bytecode",
         "--python", directory / "bin" / "python", *extra, wheel],
    ]  # fmt: skip


def _pip_commands(
    interpreter: Path, wheel: Path, directory: Path, env: Mapping[str, str], extra: Sequence[str]
) -> list[list[str | Path]]:
    install: list[str | Path] = [
        "install",
        "--compile",
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
        *extra,
        wheel,
    ]
    python = directory / "bin" / "python"
    found = run([interpreter, "-I", "-m", "pip", "--version"], env=env, timeout=60)
    match = re.match(r"pip (\d+)\.(\d+)", found.stdout)
    if match and (int(match[1]), int(match[2])) >= _PIP_WITH_PYTHON_OPTION:
        # The interpreter's own pip, aimed at the new environment: unpacking a second pip would cost seconds.
        return [
            [interpreter, "-I", "-m", "venv", "--without-pip", directory],
            [interpreter, "-I", "-m", "pip", "--python", python, *install],
        ]
    return [[interpreter, "-I", "-m", "venv", directory], [python, "-I", "-m", "pip", *install]]


def _name(commands: list[list[str | Path]]) -> str:
    return "uv" if Path(commands[0][0]).name == "uv" else "pip"


def _told(done: Completed, output: str) -> str:
    return f"{output}\nstopped after {_INSTALL_LIMIT:g} s" if done.timed_out else output or done.last_line
