"""Facts of the machine itself: files of /proc and /sys, disks, privileges, the GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trtllm_builder import data
from trtllm_builder.doctor.facts import Graphics, Machine, Place, Privileges
from trtllm_builder.host.cgroups import read_text
from trtllm_builder.host.cpu import read_cpu
from trtllm_builder.host.disk import probe_disk
from trtllm_builder.host.driver import ask_driver
from trtllm_builder.host.gpu import read_gpus
from trtllm_builder.host.kills import oom_groups
from trtllm_builder.host.memory import read_memory
from trtllm_builder.verify.restrict import trial

_LIMIT = 3.0  # seconds for one program
# Where providers keep what survives, by what their documentation says.
_PROVIDERS = (
    ("AutoDL", "root/autodl-tmp", "AutoDLContainerUUID"),
    ("GPUGeek", "gz-data", "GPUGEEK"),
    ("RunPod", "workspace", "RUNPOD_POD_ID"),
)
_ANYWHERE = "workspace"  # so many images have a directory of that name


def read_machine(environ: Mapping[str, str], root: Path = Path("/")) -> Machine:
    """CPU, memory with every cgroup above us, shared memory and the disks that a build may use."""
    shm = root / "dev/shm"
    provider = _provider(environ, root)
    return Machine(
        cpu=read_cpu(root),
        cores=(read_text(root / "proc/cpuinfo") or "").count("processor\t:") or os.cpu_count() or 1,
        memory=read_memory(root),
        oom_groups=oom_groups(root),
        kernel=read_text(root / "proc/sys/kernel/osrelease") or os.uname().release,
        shm=probe_disk(shm) if os.access(shm, os.F_OK) else None,
        places=_places(environ, root),
        provider=provider,
    )


def _seen(directory: Path) -> bool:
    """What may not be looked at (in another user's /root) is not there for us either: Path.is_dir() would raise."""
    return os.access(directory, os.X_OK) and directory.is_dir()


def _provider(environ: Mapping[str, str], root: Path) -> str | None:
    for name, directory, variable in _PROVIDERS:
        if variable in environ or (directory != _ANYWHERE and _seen(root / directory)):
            return name
    return None


def _places(environ: Mapping[str, str], root: Path) -> tuple[Place, ...]:
    wanted = [("system", root)]
    wanted += [(f"data disk of {name}", root / directory) for name, directory, _ in _PROVIDERS]
    wanted += [("cache", data.cache_dir(environ)), ("temporary", Path(environ.get("TMPDIR") or "/tmp"))]  # noqa: S108
    places = []
    seen = set()
    for role, directory in wanted:
        if role.startswith("data disk") and not _seen(directory):
            continue
        disk = probe_disk(directory)
        if disk.device not in seen:
            seen.add(disk.device)
            places.append(Place(role, str(directory), disk))
    return tuple(places)


def read_privileges(environ: Mapping[str, str], root: Path = Path("/")) -> Privileges:
    """What this process may do, and whether namespaces can be made (tried in a child)."""
    status = read_text(root / "proc/self/status") or ""
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return Privileges(
        user=os.geteuid(),
        capabilities=int(found.get("CapEff", "0"), 16),
        no_new_privileges=found.get("NoNewPrivs") == "1",
        namespaces=trial(environ, timeout=_LIMIT),
    )


def read_graphics(environ: Mapping[str, str], root: Path = Path("/")) -> Graphics:
    """nvidia-smi's word, the driver's own, the device files, and what the image was made for."""
    with ThreadPoolExecutor() as both:
        # One of them may hang and the other answer.
        told = both.submit(ask_driver, Path(sys.executable), environ, timeout=_LIMIT)
        gpus, driver = read_gpus(environ, root, timeout=_LIMIT)
        cuda = told.result()
    names = ("nvidia[0-9]*", "nvidiactl", "dxg", "nvhost-ctrl-gpu")
    nodes = sorted(path for name in names for path in (root / "dev").glob(name))
    return Graphics(
        gpus=gpus,
        driver=driver,
        cuda=cuda,
        nodes=tuple(f"/dev/{path.name}" for path in nodes),
        asked_for=environ.get("NVIDIA_VISIBLE_DEVICES"),
        visible=environ.get("CUDA_VISIBLE_DEVICES"),
    )
