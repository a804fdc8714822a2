"""Where this process stands in the cgroup tree, versions 1 and 2 (cgroups(7), proc(5)).

``root`` is ``/`` except in tests, where it holds a recorded tree of ``proc`` and ``sys``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Level:
    """One cgroup directory. ``shown`` is its path as the machine knows it."""

    version: int
    directory: Path
    shown: str

    def read(self, name: str) -> str | None:
        """The stripped text of a control file, None where there is no such file."""
        return read_text(self.directory / name)

    def number(self, name: str) -> int | None:
        """A control file's number, None for ``max``, for text and for no file."""
        text = self.read(name)
        return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


@dataclass(frozen=True)
class _Mount:
    version: int
    controllers: frozenset[str]
    root: str
    point: str


def read_text(path: Path) -> str | None:
    """A small file of /proc or /sys, stripped; None when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def levels(controller: str, root: Path = Path("/")) -> tuple[Level, ...]:
    """Every cgroup that may limit this process through ``controller`` (``memory``, ``cpu``), the innermost first.

    A container often hides its ancestors: then /proc/self/cgroup names a path that is not below the mount, and the
    mount point itself is the innermost cgroup that can be seen.
    """
    paths = _own_paths(root)
    found: list[Level] = []
    for mount in _mounts(root):
        if mount.version == 1 and controller not in mount.controllers:
            continue
        own = paths.get(controller if mount.version == 1 else "", "/")
        for relative in _ancestry(own, mount, root):
            shown = mount.point + relative
            found.append(Level(mount.version, root / shown.lstrip("/"), shown))
    return tuple(found)


def _ancestry(own: str, mount: _Mount, root: Path) -> list[str]:
    """Paths relative to the mount point, the innermost first, the mount point itself ("") last."""
    if mount.root != "/" and (own == mount.root or own.startswith(mount.root + "/")):
        own = own[len(mount.root) :]
    parts = [part for part in own.split("/") if part]
    if ".." in parts or not (root / mount.point.lstrip("/")).joinpath(*parts).is_dir():
        parts = []
    return ["".join(f"/{part}" for part in parts[:count]) for count in range(len(parts), -1, -1)]


def _own_paths(root: Path) -> dict[str, str]:
    """Controller to path from /proc/self/cgroup (``4:cpu,cpuacct:/docker/ab``); version 2 has the empty controller."""
    paths: dict[str, str] = {}
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            paths.update(dict.fromkeys(fields[1].split(","), fields[2]))
    return paths


def _mounts(root: Path) -> list[_Mount]:
    mounts = []
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        # proc(5): "36 35 98:0 ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER_OPTIONS", blanks as \040.
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        version = 1 if kind[0] == "cgroup" else 2
        mounts.append(_Mount(version, frozenset(kind[2].split(",")), _unescape(fields[3]), _unescape(fields[4])))
    return mounts or _usual_places(root)


def _usual_places(root: Path) -> list[_Mount]:
    """Some sandboxes show the files of /sys/fs/cgroup and hide the mounts."""
    top = "/sys/fs/cgroup"
    if (root / "sys/fs/cgroup/cgroup.controllers").exists():
        return [_Mount(2, frozenset(), "/", top)]
    return [
        _Mount(1, frozenset({name}), "/", f"{top}/{name}")
        for name in ("memory", "cpu")
        if (root / f"sys/fs/cgroup/{name}").is_dir()
    ]


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
