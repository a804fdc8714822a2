"""Which runs there are: a small file a run in the user's state directory, written when the run starts.

How a run fares is not in its file, which nothing would correct after a crash: the journal of its workspace says that,
and /proc (state.py).
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtllm_builder.build.journal import Json
from trtllm_builder.data import state_dir
from trtllm_builder.errors import UsageError

_SCHEMA = 1
_SHOWN = 5
_LARGEST = 2**20
# The year 5138, in seconds since 1970: what can be shown as a date.
_FAR = 1e11


@dataclass(frozen=True)
class RunEntry:
    """``request`` is what was asked for, enough to ask for it again; ``started`` is when the run was last started, in
    seconds since 1970."""

    identifier: str
    profile: str
    workspace: Path
    request: Json
    started: float

    @property
    def logs(self) -> Path:
        return self.workspace / "logs" / self.identifier


@dataclass(frozen=True)
class Damaged:
    """A file of the registry that tells nothing, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Registry:
    """``entries`` newest first."""

    entries: tuple[RunEntry, ...]
    damaged: tuple[Damaged, ...]


def runs_dir(environ: Mapping[str, str]) -> Path:
    """The directory with a file a run."""
    return state_dir(environ) / "runs"


def new_identifier(environ: Mapping[str, str]) -> str:
    """A name for a run that starts now, different from all others: ``20260801-070643-3f2a``, in UTC."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    while True:
        identifier = f"{moment}-{secrets.token_hex(2)}"
        if not _path(identifier, environ).exists():
            return identifier


def register(entry: RunEntry, environ: Mapping[str, str]) -> None:
    """Write the entry's file, in place of an earlier one when the run is resumed. Raises OSError."""
    path = _path(entry.identifier, environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": _SCHEMA,
        "id": entry.identifier,
        "profile": entry.profile,
        "workspace": str(entry.workspace),
        "request": entry.request,
        "started": round(entry.started, 3),
    }
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(document, stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def forget(identifier: str, environ: Mapping[str, str]) -> None:
    """Delete the run's file; its workspace stays. Raises OSError."""
    _path(identifier, environ).unlink(missing_ok=True)


def read_registry(environ: Mapping[str, str]) -> Registry:
    """All runs that this user started on this machine, whatever became of them."""
    entries: list[RunEntry] = []
    damaged: list[Damaged] = []
    for path in sorted(runs_dir(environ).glob("[!.]*.json")):
        try:
            entries.append(_entry(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            damaged.append(Damaged(path, error.strerror or str(error)))
        except (ValueError, RecursionError) as error:
            damaged.append(Damaged(path, str(error)))
    entries.sort(key=lambda entry: (entry.started, entry.identifier), reverse=True)
    return Registry(tuple(entries), tuple(damaged))


def find(run: str | None, environ: Mapping[str, str]) -> RunEntry:
    """The run of that identifier, or of which it is the only one that begins or ends so, or the newest of the profile
    of that name; None is the newest of all. Raises UsageError that names the candidates."""
    known = read_registry(environ)
    if not known.entries:
        broken = f" ({len(known.damaged)} damaged files in {runs_dir(environ)})" if known.damaged else ""
        raise UsageError(
            f"no run is known here{broken}",
            remedy="start one with trtllm-build --profile NAME; `trtllm-build resume --workspace DIR` goes on with the "
            "run of a workspace, and makes it known again",
        )
    if run is None:
        return known.entries[0]
    for entry in known.entries:
        if run in (entry.identifier, entry.profile):
            return entry
    near = [e for e in known.entries if run and (e.identifier.startswith(run) or e.identifier.endswith(run))]
    if len(near) == 1:
        return near[0]
    told = ", ".join(f"{one.identifier} ({one.profile})" for one in (near or known.entries)[:_SHOWN])
    if near:
        raise UsageError(f"{len(near)} runs begin or end with {run!r}", remedy=f"give more of one of them: {told}")
    raise UsageError(f"there is no run {run!r}", remedy=f"the newest are {told}; `trtllm-build runs` shows them all")


def _path(identifier: str, environ: Mapping[str, str]) -> Path:
    return runs_dir(environ) / f"{identifier}.json"


def _entry(path: Path) -> RunEntry:
    """Raises OSError, and ValueError for a file that is no entry."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no plain file")
    if status.st_size > _LARGEST:
        raise ValueError("it is too large for an entry")
    document: Any = json.loads(path.read_text("utf-8"))
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise ValueError("it is not an entry of this version")
    kinds: dict[str, type | tuple[type, ...]] = {
        "id": str, "profile": str, "workspace": str, "request": dict, "started": (int, float),
    }  # fmt: skip
    for name, kind in kinds.items():
        if not isinstance(document.get(name), kind):
            raise ValueError(f"its {name} is missing or of a wrong kind")
    if document["id"] != path.stem:
        raise ValueError("it is the entry of another run")
    if not document["workspace"].startswith("/") or not 0 <= document["started"] < _FAR:
        raise ValueError("its workspace or its time cannot be one")
    return RunEntry(
        identifier=document["id"],
        profile=document["profile"],
        workspace=Path(document["workspace"]),
        request=document["request"],
        started=float(document["started"]),
    )
