"""Puts the gate's client where a build finds it: our own small C program, made on the spot, or else a Python script."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from trtllm_builder.process import run

_HERE = Path(__file__).resolve().parent
_SLOT, _BEYOND = "slot.", "beyond"
CLIENT, BROKER, LOST = "client", "broker", "lost"
"""In the gate's directory: what stands before compilers, the broker's socket, and the sign that it was not found."""


def install_client(directory: Path, environ: Mapping[str, str], python: Path | None = None) -> str:
    """Make ``directory/client`` unless it is there already; says what it is. ``environ`` is the build's, whose ``cc``
    is taken; ``python`` is our own interpreter. Raises OSError.

    Its place stays the same, and so do the command lines of a build that is gone on with: whether it asks anybody
    depends on the slots alone.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source = (_HERE / "client.c").read_bytes()
    script = (_HERE / "client.py").read_bytes()
    # A virtual environment's python is a link, a version manager's a script that takes ten times as long.
    interpreter = (python or Path(sys.executable)).resolve()
    compiler = shutil.which("cc", path=environ.get("PATH", "")) or shutil.which("gcc", path=environ.get("PATH", ""))
    made_of = directory / f"{CLIENT}.made-of"
    parts = [source, script, *(os.fsencode(one) for one in (interpreter, compiler or ""))]
    mark = hashlib.sha256(b"\0".join(parts)).hexdigest()
    client = directory / CLIENT
    with suppress(OSError, UnicodeDecodeError):
        digest, told = made_of.read_text("utf-8").split("\n")[:2]
        if digest == mark and os.access(client, os.X_OK):
            return told
    fresh = directory / f"{CLIENT}.new"
    told = f"compiled with {compiler}"
    if compiler is None or not _compile(compiler, fresh, environ):
        told = f"a script for {interpreter}"
        fresh.write_bytes(script)
        fresh.replace(directory / f"{CLIENT}.py")
        # A shell in between costs a millisecond; a line with #! holds no long path.
        fresh.write_text(f'#!/bin/sh\nexec {shlex.quote(str(interpreter))} -I -S "${{0%/*}}/{CLIENT}.py" "$@"\n')
        fresh.chmod(0o755)
    fresh.replace(client)
    made_of.write_text(f"{mark}\n{told}\n", "utf-8")
    return told


def _compile(compiler: str, target: Path, environ: Mapping[str, str]) -> bool:
    """Whether it could be made and runs."""
    made = run([compiler, "-O2", "-o", target, _HERE / "client.c"], env=environ, timeout=60)
    if not made.ok:
        return False
    try:
        return run([target, "true"], env=environ, timeout=10).ok
    except OSError:
        return False


def set_slots(directory: Path, count: int) -> None:
    """How many compilers may run at once when nobody answers; 0 switches the gate off. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / LOST).unlink(missing_ok=True)
    if count:
        (directory / _BEYOND).touch()
    else:
        (directory / _BEYOND).unlink(missing_ok=True)
    for number in range(count):
        (directory / f"{_SLOT}{number}").touch()
    # From the end, since the client stops looking at the first that is not there.
    numbers = [int(path.name[len(_SLOT) :]) for path in directory.glob(f"{_SLOT}[0-9]*")]
    for number in sorted(numbers, reverse=True):
        if number >= count:
            (directory / f"{_SLOT}{number}").unlink()
