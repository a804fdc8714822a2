"""Python interpreters of this machine: found, run, and asked what they have."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.process import run

# Runs in the other interpreter, so it keeps to what every Python 3 understands. In a venv the answer is the base's.
_QUESTION = """
import importlib.util as u, json, os, sys, sysconfig
base = sys.executable
if sys.prefix != sys.base_prefix:
    other = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
    base = other if os.path.exists(other) else base
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "path": base,
    "venv": u.find_spec("venv") is not None and u.find_spec("ensurepip") is not None,
    "headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
    "include": sysconfig.get_path("include"),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """``path`` is never a venv's own python but the one it was made from. ``has_venv`` counts venv and ensurepip."""

    path: Path
    version: str
    has_venv: bool
    has_headers: bool
    include: str

    @property
    def series(self) -> str:
        """``3.10`` of ``3.10.13``."""
        return ".".join(self.version.split(".")[:2])

    @property
    def fit(self) -> bool:
        """Whether a venv can be made from it and extensions can be compiled for it."""
        return self.has_venv and self.has_headers


def inspect(path: Path, environ: Mapping[str, str]) -> Interpreter | None:
    """Runs ``path``; None when it does not run or is no Python 3 (a pyenv shim without its version, for example)."""
    try:
        done = run([path, "-I", "-c", _QUESTION], env=environ, cwd=Path("/"), timeout=20)
        answer = json.loads(done.stdout) if done.ok else None
    except (OSError, ValueError):
        return None
    if not isinstance(answer, dict):
        return None
    return Interpreter(
        path=Path(answer["path"]),
        version=answer["version"],
        has_venv=answer["venv"],
        has_headers=answer["headers"],
        include=answer["include"],
    )


def find_python(wanted: str, environ: Mapping[str, str]) -> Interpreter | None:
    """The interpreter for ``3.10``, ``3.10.13`` or ``host`` (ours); None when no such one runs here.

    PATH comes first, then pyenv's and uv's own directories and the system's; one that lacks venv or headers is only
    taken when no other fits, so that the caller can say what it lacks.
    """
    if wanted == "host":
        return inspect(Path(sys.executable), environ)
    lesser = None
    seen = set()
    for path in _candidates(wanted, environ):
        real = os.path.realpath(path)
        if real in seen or not os.access(path, os.X_OK):
            continue
        seen.add(real)
        found = inspect(path, environ)
        if found is None or not (found.version + ".").startswith(wanted + "."):
            continue
        if found.fit:
            return found
        lesser = lesser or found
    return lesser


def _candidates(wanted: str, environ: Mapping[str, str]) -> Iterator[Path]:
    series = ".".join(wanted.split(".")[:2])
    directories = [Path(part) for part in environ.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    names = (f"python{series}", "python3", "python")
    for name in names:
        yield from (directory / name for directory in directories)
    home = Path(environ.get("HOME") or "/")
    pyenv = [Path(environ["PYENV_ROOT"])] if environ.get("PYENV_ROOT") else []
    pyenv += [directory.parent for directory in directories if directory.name == "shims"] + [home / ".pyenv"]
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    patterns = [(root, f"versions/{series}.*/bin/python{series}") for root in pyenv]
    patterns.append((uv, f"cpython-{series}.*/bin/python{series}"))
    for root, pattern in patterns:
        yield from sorted(root.glob(pattern), reverse=True)
    yield from (Path(directory) / f"python{series}" for directory in ("/usr/local/bin", "/usr/bin"))
