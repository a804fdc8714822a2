"""The few facts of a machine that decide which release it can build and run, read on this one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.data import cache_dir
from trtllm_builder.host.disk import probe_disk
from trtllm_builder.host.interpreters import find_python
from trtllm_builder.host.read import read_host
from trtllm_builder.tools.toolkit import choose_toolkit

# Data disks of rented containers, as the shipped profiles name them; the roomiest writable one counts.
_DATA_DISKS = (Path("/root/autodl-tmp"), Path("/gz-data"), Path("/workspace"))
# Those that upstream, or one of its releases, may be built with.
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@dataclass(frozen=True)
class Situation:
    """``architectures`` are the GPUs' (89), ``cuda`` the toolkit at hand, ``pythons`` series (3.10), sizes in bytes,
    ``machine`` as uname says it.

    None, or an empty tuple, means not known. ``place`` is the directory with ``disk`` bytes free.
    """

    driver: str | None = None
    architectures: tuple[int, ...] = ()
    cuda: str | None = None
    glibc: str | None = None
    pythons: tuple[str, ...] = ()
    disk: int | None = None
    place: str | None = None
    memory: int | None = None
    machine: str = "x86_64"

    def to_json(self) -> dict[str, object]:
        return {
            "driver": self.driver,
            "architectures": list(self.architectures),
            "cuda": self.cuda,
            "glibc": self.glibc,
            "pythons": list(self.pythons),
            "disk_free": self.disk,
            "place": self.place,
            "memory": self.memory,
            "machine": self.machine,
        }


def this_machine(environ: Mapping[str, str]) -> Situation:
    """Reads this machine: runs programs, writes nothing."""
    host = read_host(environ=environ)
    ours = cache_dir(environ)
    places = [*(path for path in _DATA_DISKS if path.is_dir()), ours]
    disks = [(disk, place) for place in places if (disk := probe_disk(place)).writable]
    disk, place = max(disks, key=lambda one: one[0].free, default=(probe_disk(ours), ours))
    pythons = (find_python(series, environ) for series in _PYTHONS)
    return Situation(
        driver=host.driver.version if host.driver else None,
        architectures=tuple(sorted({number for gpu in host.gpus if (number := architecture(gpu.compute))})),
        cuda=choose_toolkit("auto", ">=11", environ).version,
        glibc=host.system.glibc,
        pythons=tuple(python.series for python in pythons if python and python.fit),
        disk=disk.free,
        place=str(place),
        memory=host.memory.allowed,
        machine=host.system.machine,
    )


def architecture(compute: str | None) -> int | None:
    """89 of NVIDIA's 8.9."""
    match = re.fullmatch(r"(\d{1,2})\.(\d)", compute or "", re.ASCII)
    return int(match[1]) * 10 + int(match[2]) if match else None
