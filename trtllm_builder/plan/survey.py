"""What this machine offers to one build: host, tools, toolkit, TensorRT, and the disk to build on."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.data import cache_dir, data_dir
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.host.disk import Disk, probe_disk
from trtllm_builder.host.read import Host, read_host
from trtllm_builder.plan.origins import origin
from trtllm_builder.plan.request import Request
from trtllm_builder.profile.model import Profile
from trtllm_builder.tools.advice import advise_tensorrt, advise_toolkit
from trtllm_builder.tools.choose import ToolChoice, ToolWant, choose
from trtllm_builder.tools.tensorrt import TensorRTChoice, choose_tensorrt
from trtllm_builder.tools.toolkit import ToolkitChoice, choose_toolkit
from trtllm_builder.units import format_size
from trtllm_builder.upstream.catalogue import Row

# Upstream pastes paths into shell lines, and CMake lists are torn apart at semicolons.
_PLAIN = re.compile(r"[\w./+,@%=:-]+")


@dataclass(frozen=True)
class Place:
    """``root`` is the workspace; ``caches`` stand beside it on the same disk and are shared by all workspaces."""

    root: Path
    caches: Path
    disk: Disk
    why: str


@dataclass(frozen=True)
class Survey:
    """The machine's side of a plan. Made without network and without writing."""

    host: Host
    tools: tuple[ToolChoice, ...]
    toolkit: ToolkitChoice
    tensorrt: TensorRTChoice
    place: Place


def take_survey(request: Request, row: Row | None, needed: int, *, takes_tensorrt: bool = True) -> Survey:
    """``needed`` is the least room in bytes that a fresh build takes, ``takes_tensorrt`` whether upstream can be given
    a TensorRT. What was named and does not fit is ``absent``, as what is not there. Raises UsageError for a range that
    is none."""
    profile, environ = request.loaded.profile, request.environ
    toolkit = _toolkit(profile, environ)
    wants = [ToolWant("cmake", str(profile.tools.cmake or (row.cmake if row else "")))]
    wants += [ToolWant(name) for name in ("ninja", "patchelf", "cuobjdump")]
    if profile.build.ccache.enabled:
        wants.append(ToolWant("ccache"))
    beside = [toolkit.toolkit.root / "bin"] if toolkit.toolkit else []
    return Survey(
        host=read_host(profile.python, environ),
        tools=tuple(_tool(want, environ, beside if want.name == "cuobjdump" else []) for want in wants),
        toolkit=toolkit,
        tensorrt=_tensorrt(profile, row, toolkit.version, environ, takes_tensorrt),
        place=_choose_place(request, needed),
    )


def _tool(want: ToolWant, environ: Mapping[str, str], beside: list[Path]) -> ToolChoice:
    try:
        return choose(want, environ, beside=beside)
    except HostError as error:
        return ToolChoice(want.name, want.specifier, None, "absent", f"{error}; {error.remedy}")


def _toolkit(profile: Profile, environ: Mapping[str, str]) -> ToolkitChoice:
    cuda = profile.cuda
    root = _root(cuda.root, cuda.archive)
    try:
        return choose_toolkit(root, str(cuda.toolkit), environ, wheels=cuda.wheels, archive=cuda.archive)
    except HostError as error:
        advice = advise_toolkit(str(cuda.toolkit), _directory(cuda.root, data_dir(environ) / "cuda"))
        return ToolkitChoice("absent", None, None, str(error), advice=advice)


def _tensorrt(
    profile: Profile, row: Row | None, cuda: str | None, environ: Mapping[str, str], taken: bool
) -> TensorRTChoice:
    tensorrt = profile.tensorrt
    if not taken and tensorrt.root == "auto" and tensorrt.archive is None:
        return TensorRTChoice("none", None, "this upstream needs none: its build_wheel.py has no --trt_root")
    version = str(tensorrt.version or (row.tensorrt if row and row.tensorrt else "")) or None
    root = _root(tensorrt.root, tensorrt.archive)
    try:
        return choose_tensorrt(root, version, environ, archive=tensorrt.archive, cuda=cuda)
    except HostError as error:
        advice = advise_tensorrt(version, cuda, _directory(tensorrt.root, data_dir(environ) / "tensorrt"))
        return TensorRTChoice("absent", None, str(error), advice)


def _root(root: str, archive: str | None) -> str:
    """An archive that is handed over stands in for a root that is named and not there."""
    return "auto" if archive is not None and root.startswith("/") and not Path(root).exists() else root


def _directory(root: str, ours: Path) -> Path:
    """Where advice puts things: where the profile expects them, unless something else is there."""
    return Path(root) if root.startswith("/") and not Path(root).exists() else ours


def _choose_place(request: Request, needed: int) -> Place:
    """The first of the profile's directories that exists, can be written to and has room, else the roomiest."""
    profile = request.loaded.profile
    said = origin(profile, "workspace")
    # What is compiled for one Python is of no use to another.
    series = ".".join(map(str, sys.version_info[:2])) if profile.python == "host" else profile.python
    name = f"{profile.name}-py{series}"
    lesser: list[Place] = []
    for entry in profile.workspace:
        base = cache_dir(request.environ) if entry == "cache" else Path(entry) / "trtllm-builder"
        if entry != "cache" and not base.parent.is_dir():
            continue
        disk = probe_disk(base)
        if not disk.writable:
            continue
        root = base / "workspaces" / name
        place = Place(root, base, disk, f"{said}: {entry}, {format_size(disk.free)} free")
        if disk.free >= needed or (root / "journal.jsonl").exists():
            break
        lesser.append(place)
    else:
        base = cache_dir(request.environ)
        why = f"{said}: none of {', '.join(profile.workspace)} is here and can be written to, so our cache"
        fallback = Place(base / "workspaces" / name, base, probe_disk(base), why)
        place = max(lesser, key=lambda one: one.disk.free, default=fallback)
    if request.asked.workspace is not None:
        place = Place(request.asked.workspace, place.caches, probe_disk(request.asked.workspace), "--workspace")
    check_plain(place.root, "--workspace")
    return place


def check_plain(place: Path, option: str) -> None:
    """Raises UsageError for a directory that no build survives in; ``option`` is the one that chooses it."""
    if not _PLAIN.fullmatch(str(place)):
        raise UsageError(
            f"{place} has characters that upstream's build script and CMake do not survive",
            remedy=f"give a directory of letters, digits and ./_+,@%- with {option}",
        )
