"""Where the driver's libraries are when the loader does not know: where the caller's environment says, or a CUDA
toolkit's stand-ins for them, which are enough to load a wheel where there is no GPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PLACES = ("lib64/stubs", "lib/stubs", "targets/x86_64-linux/lib/stubs", "targets/sbsa-linux/lib/stubs")
_LIBRARIES = ("libcuda.so", "libnvidia-ml.so")


def driver_directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Directories of LD_LIBRARY_PATH with the driver in them: some clusters mount it and say so nowhere else."""
    entries = environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return tuple(entry for entry in entries if entry.startswith("/") and Path(entry, "libcuda.so.1").is_file())


def find_stubs(environ: Mapping[str, str]) -> Path | None:
    """The first directory with a libcuda.so to stand in, of CUDA_HOME, CUDA_PATH and /usr/local/cuda."""
    named = [Path(environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    for root in (*named, Path("/usr/local/cuda")):
        for place in _PLACES:
            if (root / place / "libcuda.so").is_file():
                return root / place
    return None


def link_stubs(stubs: Path, directory: Path) -> None:
    """Gives them, in a new ``directory``, the names by which programs load the driver (``libcuda.so.1``)."""
    directory.mkdir()
    for name in _LIBRARIES:
        if (stubs / name).is_file():
            (directory / f"{name}.1").symlink_to((stubs / name).resolve())
