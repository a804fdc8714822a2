"""What a program that uses CUDA will find here: the driver's own libraries, and what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.gpu import Gpu
from trtllm_builder.process import run

_CHILD = Path(__file__).with_name("driver_child.py")


@dataclass(frozen=True)
class CudaDriver:
    """``library`` and ``nvml``: libcuda.so.1 and libnvidia-ml.so.1 can be loaded. ``cuda`` is the newest release that
    the driver knows (``12.8``), whose PTX it can translate. ``stub``: it is a toolkit's stand-in. ``error`` is why
    there is no device, empty when there is one or no library.
    """

    library: bool = False
    nvml: bool = False
    cuda: str | None = None
    stub: bool = False
    error: str = ""
    devices: tuple[Gpu, ...] = ()


def ask_driver(python: Path, environ: Mapping[str, str], *, timeout: float = 10.0) -> CudaDriver:
    """Loads and initialises the driver in a process of ``python``. ``timeout`` in seconds: a sick driver blocks.

    What cannot be understood is an ``error``; no driver is a normal answer.
    """
    try:
        done = run([python, "-I", "-S", _CHILD], env=environ, timeout=timeout)
    except OSError as error:
        return CudaDriver(error=f"{python} cannot be started: {error.strerror or error}")
    if not done.ok:
        why = f"did not answer within {timeout:g} s" if done.timed_out else f"failed: {done.last_line}"
        return CudaDriver(library=True, error=f"the driver {why}")
    told = json.loads(done.stdout)
    devices = tuple(Gpu(**device) for device in told.get("devices", ()))
    reason = told.get("error") or ("" if devices or not told["library"] else "there is no device")
    return CudaDriver(told["library"], told["nvml"], told.get("cuda"), told.get("stub", False), reason, devices)
