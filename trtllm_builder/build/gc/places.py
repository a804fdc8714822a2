"""The workspaces there are, and which of them are surely ours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.journal import Journal, Json
from trtllm_builder.build.registry import RunEntry, read_registry
from trtllm_builder.build.state import RunState, run_state, run_states
from trtllm_builder.build.workspace import is_tagged
from trtllm_builder.data import cache_dir


@dataclass(frozen=True)
class Place:
    """A workspace that is surely ours, and its last run, None when there was none."""

    root: Path
    events: Sequence[Json]
    last: tuple[RunEntry, RunState] | None

    @property
    def running(self) -> str:
        """The run at work in it, or nothing."""
        return self.last[0].identifier if self.last and self.last[1].state == "running" else ""

    @property
    def caches(self) -> Path | None:
        plan = _last(self.events, "run").get("plan")
        caches = plan.get("caches") if isinstance(plan, dict) else None
        return Path(caches) if isinstance(caches, str) and caches.startswith("/") else None

    @property
    def tools(self) -> tuple[Path, ...] | None:
        """The programs it was built with; None when it is not known yet."""
        end = next((one for one in reversed(self.events) if (one["event"], one.get("stage")) == ("end", "tools")), {})
        result = end.get("result")
        paths = result.get("paths") if isinstance(result, dict) else None
        return tuple(Path(str(path)) for path in paths.values()) if isinstance(paths, dict) else None


@dataclass(frozen=True)
class Known:
    """One look at runs and workspaces. ``foreign`` are directories that look like workspaces and are not surely ours,
    each with the reason."""

    environ: Mapping[str, str]
    runs: tuple[tuple[RunEntry, RunState], ...]
    damaged: tuple[Path, ...]
    places: tuple[Place, ...]
    foreign: Mapping[Path, str]

    @property
    def bases(self) -> tuple[Path, ...]:
        """Directories with our caches: the user's, and those beside workspaces on other disks."""
        found = {cache_dir(self.environ): None, **{place.caches: None for place in self.places if place.caches}}
        return tuple(base for base in found if is_tagged(base))


def look(environ: Mapping[str, str]) -> Known:
    """Reads only."""
    registry = read_registry(environ)
    roots = {entry.workspace: None for entry in registry.entries}
    for base in {cache_dir(environ), *(root.parent.parent for root in roots if root.parent.name == "workspaces")}:
        if is_tagged(base):
            roots.update(dict.fromkeys(directories(base / "workspaces")))
    places: list[Place] = []
    foreign: dict[Path, str] = {}
    for root in roots:
        why = _not_ours(root)
        if why is None:
            places.append(_place(root))
        elif why:
            foreign[root] = why
    states = run_states(registry.entries)
    return Known(
        environ=environ,
        runs=tuple(zip(registry.entries, states, strict=True)),
        damaged=tuple(one.path for one in registry.damaged),
        places=tuple(places),
        foreign=foreign,
    )


def _not_ours(root: Path) -> str | None:
    """None for a workspace that is surely ours, else why it is not; empty when nothing is there."""
    try:
        if root.is_symlink() or not root.is_dir():
            return "it is a link or no directory" if os.path.lexists(root) else ""
        names = {path.name for path in root.iterdir()}
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if not is_tagged(root):
        return "it has no CACHEDIR.TAG of ours"
    journal = root / "journal.jsonl"
    if journal.is_symlink() or not (journal.is_file() or names <= {"CACHEDIR.TAG", "lock"}):
        return "it has no journal"
    if journal.exists() and not os.access(journal, os.R_OK):
        return "its journal cannot be read"
    return None


def _place(root: Path) -> Place:
    events = Journal(root / "journal.jsonl").events()
    run = _last(events, "run")
    if not isinstance(run.get("id"), str):
        return Place(root, events, None)
    entry = RunEntry(run["id"], "", root, {}, 0.0)
    return Place(root, events, (entry, run_state(entry)))


def _last(events: Sequence[Json], kind: str) -> Json:
    return next((event for event in reversed(events) if event["event"] == kind), {})


def directories(parent: Path) -> list[Path]:
    """Real directories, sorted; a link is never one of ours."""
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []
