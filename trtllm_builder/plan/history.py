"""What earlier builds of a profile took, kept for the user so that a fresh workspace profits from it.

A JSON file a profile in the state directory: the last builds, and how long each step last took when the compile cache
did not answer for it. A file that cannot be read counts as none; it is written anew after the next build.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trtllm_builder.data import state_dir
from trtllm_builder.profile.model import Profile

_SCHEMA = 1
_MOST_BUILDS = 20
_MOST_STEPS = 50_000
_LARGEST_FILE = 64 * 2**20


@dataclass(frozen=True)
class Measured:
    """One build. ``seconds`` from its start to the end of compiling, None unless all was compiled in one go;
    ``ended`` in seconds since 1970; ``peak_memory`` and ``workspace`` (what it held on disk when all was compiled) in
    bytes."""

    run: str
    ended: float
    ref: str
    architectures: str
    jobs: int
    seconds: float | None
    peak_memory: int
    workspace: int

    @property
    def told(self) -> str:
        """Where a figure taken from it comes from."""
        return f"measured on {time.strftime('%Y-%m-%d', time.gmtime(self.ended))} by run {self.run}"


@dataclass(frozen=True)
class History:
    """``builds``, the last one first; ``seconds`` for each step's output, relative to the build directory."""

    builds: tuple[Measured, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def like(self, ref: str, architectures: str) -> tuple[Measured, ...]:
        """The builds of this release for these GPUs, the last one first."""
        return tuple(one for one in self.builds if (one.ref, one.architectures) == (ref, architectures))


def architectures_of(profile: Profile) -> str:
    """The GPUs that a profile builds for, as a build's entry has them."""
    return ", ".join(str(number) for number in profile.cuda.architectures)


def history_path(profile: str, environ: Mapping[str, str]) -> Path:
    return state_dir(environ) / "measured" / f"{quote(profile, safe='')}.json"


def read_history(profile: str, environ: Mapping[str, str]) -> History:
    """Empty when nothing is known."""
    path = history_path(profile, environ)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return History()
        document = json.loads(path.read_text("utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return History()
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        return History()
    builds = [build for one in _items(document.get("builds"), list) if (build := _build(one)) is not None]
    seconds = {
        name: float(value)
        for name, value in _items(document.get("seconds"), dict).items()
        if isinstance(value, (int, float)) and 0 <= value < 1e7
    }
    return History(tuple(sorted(builds, key=lambda build: -build.ended)), seconds)


def remember(profile: str, build: Measured, seconds: Mapping[str, float], environ: Mapping[str, str]) -> None:
    """Add a build and the steps it really did. Raises OSError."""
    path = history_path(profile, environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read_history(profile, environ)
        builds = [build, *(one for one in known.builds if one.run != build.run)][:_MOST_BUILDS]
        # The newest last, so that what no release makes any more is what goes.
        steps = {name: value for name, value in known.seconds.items() if name not in seconds}
        steps.update((name, round(value, 2)) for name, value in seconds.items())
        document = {
            "schema": _SCHEMA,
            "builds": [asdict(one) for one in builds],
            "seconds": dict(list(steps.items())[-_MOST_STEPS:]),
        }
        handle, fresh = tempfile.mkstemp(prefix=".measured-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=0)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise


def _items(value: Any, kind: type[Any]) -> Any:
    return value if isinstance(value, kind) else kind()


def _build(value: object) -> Measured | None:
    """None for what is no build of this version."""
    if not isinstance(value, dict):
        return None
    kinds: dict[str, Any] = {"str": str, "float": (int, float), "int": int, "float | None": (int, float, type(None))}
    for one in fields(Measured):
        found = value.get(one.name, ...)
        if not isinstance(found, kinds[str(one.type)]) or (isinstance(found, (int, float)) and not 0 <= found < 1e18):
            return None
    return Measured(**{one.name: value[one.name] for one in fields(Measured)})
