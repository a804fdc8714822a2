"""GPUs and driver of this machine. A build needs neither; the profile's text and the smoke test are glad of them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import read_text
from trtllm_builder.process import run

# NVIDIA, "CUDA Compatibility": the oldest driver branch that runs any release of a major version.
_OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# NVIDIA, CUDA release notes, "CUDA Toolkit and Corresponding Driver Versions": driver branch -> newest CUDA it knows.
_NEWEST_CUDA = (
    (450, "11.0"), (455, "11.1"), (460, "11.2"), (465, "11.3"), (470, "11.4"), (495, "11.5"), (510, "11.6"),
    (515, "11.7"), (520, "11.8"), (525, "12.0"), (530, "12.1"), (535, "12.2"), (545, "12.3"), (550, "12.4"),
    (555, "12.5"), (560, "12.6"), (565, "12.7"), (570, "12.8"), (575, "12.9"), (580, "13.0"), (590, "13.1"),
)  # fmt: skip
_WSL = "/usr/lib/wsl/lib"
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True)
class Gpu:
    """``compute`` as NVIDIA writes it (8.9), None where an old driver does not say; ``memory`` in bytes."""

    name: str
    compute: str | None
    memory: int | None


@dataclass(frozen=True)
class Driver:
    version: str
    source: str


def read_gpus(
    environ: Mapping[str, str], root: Path = Path("/"), *, timeout: float = 10.0
) -> tuple[tuple[Gpu, ...], Driver | None]:
    """What nvidia-smi lists, else the driver that /proc/driver/nvidia/version names; no GPU is a normal answer.

    nvidia-smi blocks on a sick driver, hence ``timeout`` in seconds.
    """
    search = os.pathsep.join(filter(None, (environ.get("PATH", ""), _WSL)))
    smi = shutil.which("nvidia-smi", path=search)
    for query in ("name,memory.total,driver_version,compute_cap", "name,memory.total,driver_version"):
        rows = _query(smi, query, environ, timeout) if smi else []
        if rows is None:
            break  # it hangs, and would again
        if rows:
            gpus = tuple(
                Gpu(row[0], row[3] if len(row) > 3 else None, int(row[1]) * 2**20 if row[1].isdigit() else None)
                for row in rows
            )
            return gpus, Driver(rows[0][2], "nvidia-smi")
    proc = root / "proc/driver/nvidia/version"
    match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", read_text(proc) or "")
    return (), Driver(match[1], "/proc/driver/nvidia/version") if match else None


def _query(smi: str, query: str, environ: Mapping[str, str], timeout: float) -> list[list[str]] | None:
    """None when it did not come back."""
    try:
        done = run([smi, f"--query-gpu={query}", "--format=csv,noheader,nounits"], env=environ, timeout=timeout)
    except OSError:
        return []
    if done.timed_out:
        return None
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()] if done.ok else []
    wanted = query.count(",") + 1
    return rows if rows and all(len(row) == wanted and _NUMBER.fullmatch(row[2]) for row in rows) else []


def driver_runs(driver: str, cuda: str) -> bool | None:
    """Whether a driver (``570.195.03``) runs programs built with a CUDA release (``12.9``); None when we do not know.

    This is minor version compatibility: it holds for SASS. PTX newer than the driver is still refused by it.
    """
    numbers = re.match(r"\d+", driver), re.match(r"\d+", cuda)
    if not all(numbers):
        return None
    have, major = (int(number[0]) for number in numbers if number)
    oldest = _OLDEST_DRIVER.get(major)
    return None if oldest is None else have >= oldest


def oldest_driver(cuda: str) -> int | None:
    """The oldest driver branch (525) that runs what a CUDA release (``12.9``) made; None when we do not know."""
    return _OLDEST_DRIVER.get(int(cuda.partition(".")[0]))


def driver_cuda(driver: str) -> str | None:
    """The newest CUDA release that a driver (``570.195.03``) knows, by its branch; None for one that we do not know."""
    branch = re.match(r"\d+", driver)
    known = [cuda for oldest, cuda in _NEWEST_CUDA if branch and oldest <= int(branch[0])]
    return known[-1] if known else None


def driver_majors(cuda: str) -> tuple[int, ...]:
    """The CUDA majors whose machine code a driver that knows ``cuda`` runs: drivers keep what they could."""
    return tuple(major for major in _OLDEST_DRIVER if major <= int(cuda.partition(".")[0]))
