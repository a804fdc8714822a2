"""What our builds left, and for each thing why it must stay, if it must."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trtllm_builder.build.gc.measure import Measured, measure
from trtllm_builder.build.gc.places import Known, Place, directories
from trtllm_builder.build.kept import WHEELS
from trtllm_builder.build.registry import runs_dir
from trtllm_builder.build.scratch import LOCK, PREFIX
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.data import data_dir
from trtllm_builder.plan.compile_cache import UNTRUSTED
from trtllm_builder.tools.store import RECEIPT

Kind = Literal["workspace", "source", "downloads", "compile-cache", "wheel", "tools", "run"]
KINDS: tuple[Kind, ...] = ("workspace", "source", "downloads", "compile-cache", "wheel", "tools", "run")
# What a removal that was cut short left: renamed first, so that nobody takes the rest of it for whole.
LEFT = ".removing-"


@dataclass(frozen=True)
class Item:
    """Something that can go by itself. ``used`` is when it was last used, in seconds since 1970; ``keep`` why it must
    stay, empty when it may go; ``lock`` the file whose lock its users hold; ``run`` the run whose logs or entry it is.
    """

    kind: Kind
    path: Path
    detail: str
    used: float
    measured: Measured
    keep: str = ""
    unfinished: bool = False
    lock: Path | None = None
    run: str | None = None


def find_items(known: Known, kinds: Sequence[Kind], going: frozenset[Path] = frozenset()) -> Iterator[Item]:
    """What there is of these kinds, measured. ``going`` are workspaces that are to be removed first: what only they use
    is not in use."""
    staying = [place for place in known.places if place.root not in going]
    if "workspace" in kinds:
        yield from map(_workspace, known.places)
    for base in known.bases:
        for kind, path, lock in _caches(base):
            if kind in kinds:
                keep = _cache_user(base, known.places)
                yield _item(kind, path, _newest(path), keep=keep, lock=lock)
    if "tools" in kinds:
        yield from _tools(data_dir(known.environ) / "tools", staying)
    if "run" in kinds:
        yield from _runs(known)


def in_use(item: Item, places: Sequence[Place]) -> str:
    """Why it must stay now, empty when it need not."""
    if item.kind == "workspace":
        return _worker(item.path)
    if item.kind == "tools":
        return _tool_user(item.path, places)
    if item.kind in ("source", "downloads", "compile-cache", "wheel"):
        return next(filter(None, (_cache_user(base, places) for base in item.path.parents)), "")
    return ""


def _cache_user(base: Path, places: Sequence[Place]) -> str:
    """Who uses the caches of ``base`` now, as a reason to keep them; empty when nobody does."""
    users = [place.running for place in places if place.running and place.caches in (base, None)]
    return f"run {users[0]} uses it" if users else ""


def _tool_user(directory: Path, staying: Sequence[Place]) -> str:
    """Which workspace was built with that tool, or is choosing its tools now; empty when none."""
    for place in staying:
        if place.running and place.tools is None:
            return f"run {place.running} is choosing its tools"
        if any(tool.is_relative_to(directory) for tool in place.tools or ()):
            return f"{place.root} is built with it"
    # A build that this user's registry does not know.
    pid = _process_in(directory, "exe")
    return f"process {pid} runs from it" if pid else ""


def _worker(workspace: Path) -> str:
    """Who works in it, somebody's shell perhaps, as a reason to keep it; empty when nobody does."""
    pid = _process_in(workspace, "cwd")
    return f"process {pid} works in it" if pid else ""


def _process_in(directory: Path, link: str) -> str:
    """A process whose program (``exe`` of proc(5)) or working directory (``cwd``) lies in it; empty when there is none
    that we may look at."""
    real = directory.resolve()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / link).readlink().is_relative_to(real):
                return entry.name
    return ""


def _workspace(place: Place) -> Item:
    detail, unfinished, keep = "no run", False, ""
    if place.last:
        entry, state = place.last
        detail = f"{entry.identifier} {state.state}"
        unfinished = state.resumable
        wheel = (state.result or {}).get("record", {}).get("wheel")
        if isinstance(wheel, str) and Path(wheel).is_relative_to(place.root) and Path(wheel).exists():
            keep = f"the wheel {wheel} is in it"
    with suppress(OSError):
        strange = Workspace(place.root).strange()
        keep = f"{strange[0]} is in it, which no build made" if strange else keep
    keep = f"run {place.running} is at work in it" if place.running else _worker(place.root) or keep
    return _item("workspace", place.root, _newest(place.root), detail=detail, keep=keep, unfinished=unfinished)


def _caches(base: Path) -> Iterator[tuple[Kind, Path, Path | None]]:
    """Source repositories and LFS objects, each with the lock of who uses it, packages, the compile cache, and wheels
    that are kept for builds from the same lock."""
    for path in directories(base / "git"):
        if path.name.startswith(LEFT):
            yield "source", path, None
        elif path.suffix == ".git" and (path / "HEAD").is_file():
            yield "source", path, path.with_name(f"{path.name}.lock")
    for path in directories(base / WHEELS):
        yield "wheel", path, None
    wanted: tuple[tuple[Kind, str], ...] = (
        ("source", "lfs"),
        ("downloads", "pip"),
        ("downloads", "bundles"),
        ("compile-cache", "ccache"),
        ("compile-cache", UNTRUSTED),
    )
    for path in directories(base):
        if path.name.startswith((PREFIX, f"{LEFT}{PREFIX}")) and (path / LOCK).is_file():
            yield "downloads", path, path / LOCK
        for kind, name in wanted:
            if path.name == name or path.name.startswith(f"{LEFT}{name}-"):
                yield kind, path, path / "lfs.lock" if path.name == "lfs" else None


def _tools(directory: Path, staying: Sequence[Place]) -> Iterator[Item]:
    for path in directories(directory):
        if path.name.startswith(LEFT):
            yield _item("tools", path, _newest(path), detail="left by an earlier removal")
            continue
        facts = _receipt(path)
        if facts is None:
            continue
        detail = f"{facts.get('name', path.name)} {facts.get('version', '')}".rstrip()
        keep, lock = _tool_user(path, staying), directory / f".lock-{path.name}"
        yield _item("tools", path, _newest(path), detail=detail, keep=keep, lock=lock)


def _runs(known: Known) -> Iterator[Item]:
    """Runs that are gone, damaged entries, and the logs of all but the last run of each workspace."""
    directory = runs_dir(known.environ)
    last = {place.last[0].identifier for place in known.places if place.last}
    for entry, state in known.runs:
        path = directory / f"{entry.identifier}.json"
        if state.state == "gone":
            yield _item("run", path, entry.started, detail=f"{entry.identifier} gone", run=entry.identifier)
        elif state.state != "running" and entry.identifier not in last:
            detail = f"{entry.identifier} {state.state}"
            logs = entry.logs if entry.logs.is_dir() else path
            yield _item("run", logs, entry.started, detail=detail, run=entry.identifier)
    for place in known.places:
        for path in directories(place.root / "logs"):
            if path.name.startswith(LEFT):
                yield _item("run", path, _newest(path), detail="left by an earlier removal")
    for path in known.damaged:
        # A directory or a link there is not what we wrote.
        if path.is_symlink() or not path.is_file():
            continue
        yield _item("run", path, _newest(path), detail="damaged entry")


def _item(kind: Kind, path: Path, used: float, *, detail: str = "", keep: str = "", **more: Any) -> Item:
    measured = measure(path, _owner(path))
    return Item(kind, path, detail, used, measured, keep or measured.strange, **more)


def _owner(path: Path) -> int:
    """Whose files may be in it: ours; to root, whoever made it, since some network disks give root's files away."""
    user = os.geteuid()
    try:
        return path.lstat().st_uid if user == 0 else user
    except OSError:
        return user


def _receipt(directory: Path) -> Mapping[str, Any] | None:
    """What the tool store noted when it made the directory; None for one that it did not make."""
    path = directory / RECEIPT
    try:
        document = json.loads(path.read_text()) if not path.is_symlink() else None
    except (OSError, ValueError):
        return None
    facts = document.get("facts") if isinstance(document, dict) else None
    return facts if isinstance(facts, dict) else None


def _newest(path: Path) -> float:
    """When it was last changed: the directory itself or what lies directly in it."""
    try:
        inside = list(path.iterdir()) if path.is_dir() else []
        return max(one.lstat().st_mtime for one in (path, *inside))
    except OSError:
        return 0.0
