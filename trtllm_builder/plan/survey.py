"""What this machine offers to one build: host, tools, toolkit, TensorRT, and the disk to build on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.data import cache_dir
from trtllm_builder.errors import UsageError
from trtllm_builder.host.disk import Disk, probe_disk
from trtllm_builder.host.read import Host, read_host
from trtllm_builder.plan.origins import origin
from trtllm_builder.plan.request import Request
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


def take_survey(request: Request, row: Row | None, needed: int) -> Survey:
    """``needed`` is the least room in bytes that a fresh build takes. Raises HostError for a root that was named and
    does not fit, UsageError for a range that is none."""
    profile, environ = request.loaded.profile, request.environ
    toolkit = choose_toolkit(
        profile.cuda.root,
        str(profile.cuda.toolkit),
        environ,
        wheels=profile.cuda.wheels,
        archive=profile.cuda.archive,
    )
    wants = [ToolWant("cmake", str(profile.tools.cmake or (row.cmake if row else "")))]
    wants += [ToolWant(name) for name in ("ninja", "patchelf", "cuobjdump")]
    if profile.build.ccache.enabled:
        wants.append(ToolWant("ccache"))
    beside = [toolkit.toolkit.root / "bin"] if toolkit.toolkit else []
    return Survey(
        host=read_host(profile.python, environ),
        tools=tuple(choose(want, environ, beside=beside if want.name == "cuobjdump" else ()) for want in wants),
        toolkit=toolkit,
        tensorrt=choose_tensorrt(
            profile.tensorrt.root,
            str(profile.tensorrt.version or (row.tensorrt if row and row.tensorrt else "")) or None,
            environ,
            archive=profile.tensorrt.archive,
            cuda=toolkit.version,
        ),
        place=_choose_place(request, needed),
    )


def _choose_place(request: Request, needed: int) -> Place:
    """The first of the profile's directories that exists, can be written to and has room, else the roomiest."""
    profile = request.loaded.profile
    said = origin(profile, "workspace")
    lesser: list[Place] = []
    for entry in profile.workspace:
        base = cache_dir(request.environ) if entry == "cache" else Path(entry).expanduser() / "trtllm-builder"
        if entry != "cache" and not base.parent.is_dir():
            continue
        disk = probe_disk(base)
        if not disk.writable:
            continue
        root = base / "workspaces" / profile.name
        place = Place(root, base, disk, f"{said}: {entry}, {format_size(disk.free)} free")
        if disk.free >= needed or (root / "journal.jsonl").exists():
            break
        lesser.append(place)
    else:
        base = cache_dir(request.environ)
        fallback = Place(base / "workspaces" / profile.name, base, probe_disk(base), f"{said}: none of these fits")
        place = max(lesser, key=lambda one: one.disk.free, default=fallback)
    if request.workspace is not None:
        place = Place(request.workspace, place.caches, probe_disk(request.workspace), "--workspace")
    if not _PLAIN.fullmatch(str(place.root)):
        raise UsageError(
            f"the workspace {place.root} has characters that upstream's build script and CMake do not survive",
            remedy="give a directory of letters, digits and ./_+,@%- with --workspace",
        )
    return place
