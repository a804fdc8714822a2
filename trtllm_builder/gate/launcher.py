"""Puts the gate's client where a build finds it: our own small C program, made on the spot."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from trtllm_builder.errors import HostError
from trtllm_builder.process import run

_HERE = Path(__file__).resolve().parent
_SLOT, _BEYOND = "slot.", "beyond"
CLIENT, BROKER, LOST = "client", "broker", "lost"
"""In the gate's directory: what stands before compilers, the broker's socket, and the sign that it was not found."""


def install_client(directory: Path, environ: Mapping[str, str]) -> None:
    """Make ``directory/client`` unless it is there already, with the compiler on the PATH of ``environ``, the build's.

    Raises OSError, and HostError where there is no compiler that works: upstream's build would end there too. Its place
    stays the same, and so do the command lines of a build that is gone on with: whether it asks anybody depends on the
    slots alone.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source = _HERE / "client.c"
    path = environ.get("PATH", "")
    compiler = next(filter(None, (shutil.which(name, path=path) for name in ("cc", "gcc", "g++"))), None)
    if compiler is None:
        raise HostError("there is no C compiler on PATH", remedy="as root: apt-get install -y g++")
    mark = hashlib.sha256(b"\0".join([source.read_bytes(), os.fsencode(compiler)])).hexdigest()
    made_of, client = directory / f"{CLIENT}.made-of", directory / CLIENT
    with suppress(OSError, UnicodeDecodeError):
        if made_of.read_text("utf-8") == mark and os.access(client, os.X_OK):
            return
    fresh = directory / f"{CLIENT}.new"
    made = run([compiler, "-O2", "-x", "c", "-o", fresh, source], env=environ, timeout=60)
    if not made.ok:
        raise HostError(
            f"{compiler} does not compile a C program of ours: {made.last_line}",
            remedy="mend or replace it: upstream's build needs it as well",
        )
    _try(fresh, environ)
    fresh.replace(client)
    made_of.write_text(mark, "utf-8")


def _try(client: Path, environ: Mapping[str, str]) -> None:
    try:
        told = run([client, "true"], env=environ, timeout=10)
    except OSError as error:
        reason = error.strerror
    else:
        if told.ok:
            return
        reason = told.last_line
    raise HostError(
        f"{client} was compiled and does not run: {reason}",
        remedy="choose a --workspace on a disk that is not mounted noexec",
    )


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
