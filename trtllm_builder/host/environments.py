"""Virtual environments of any Python that runs here, with a pip of our own choice in them.

virtualenv makes them: the wheel of pip that it carries comes with our own lock, so that neither the interpreter's age
nor whether Debian split ``ensurepip`` off it matters; and it takes a fifth of the time of ``python -m venv``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trtllm_builder.process import Completed, run

_DEADLINE = 300.0  # seconds


def make_environment(
    interpreter: Path,
    directory: Path,
    env: Mapping[str, str],
    *,
    pass_fds: Sequence[int] = (),
    on_start: Callable[[int], None] | None = None,
) -> Completed:
    """Makes ``directory`` an environment of ``interpreter``. Nothing is downloaded, and nothing kept outside of it: a
    killed one leaves a directory that is to be removed, and no half-made cache for others."""
    unpacked = directory / "unpacked"
    options = ("--quiet", "--no-download", "--no-periodic-update", "--app-data", unpacked, "--python", interpreter)
    # Settings of the user's would change what is made.
    environ = {name: value for name, value in env.items() if not name.startswith("VIRTUALENV_")}
    environ["VIRTUALENV_CONFIG_FILE"] = str(unpacked / "none.ini")
    made = run(
        [sys.executable, "-I", "-m", "virtualenv", *options, directory],
        env=environ, timeout=_DEADLINE, pass_fds=pass_fds, on_start=on_start,
    )  # fmt: skip
    shutil.rmtree(unpacked, ignore_errors=True)
    return made


def begins_with(version: str) -> tuple[tuple[str, str, Path], ...]:
    """Name, version and wheel of each package that an environment of that Python (``3.11.7``) has from the beginning,
    as virtualenv chooses them: setuptools up to Python 3.11."""
    # It takes long to import, and most commands make no environment.
    from virtualenv.seed.wheels.embed import get_embed_wheel

    major, minor = (int(part) for part in version.split(".")[:2])
    names = ("pip", "setuptools") if (major, minor) < (3, 12) else ("pip",)
    wheels = [(name, get_embed_wheel(name, f"{major}.{minor}")) for name in names]
    return tuple((name, wheel.version, wheel.path) for name, wheel in wheels if wheel is not None)
