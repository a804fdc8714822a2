"""The results of a night, with those that are not there: a machine that died left none, a full disk half of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from trtllm_builder import __version__
from trtllm_builder.ci.result import Result, read_result
from trtllm_builder.errors import UsageError

# How the rendered workflows name the artefact of a profile, so that none is named as another of theirs.
ARTEFACT = "trtllm-wheel-"
# Nobody knows what it ended with: mostly it was killed.
_KILLED = 137


def read_all(paths: Sequence[Path], expected: Sequence[str]) -> list[Result]:
    """The results in files and below directories, sorted by profile, and a ``lost`` one for each profile of
    ``expected`` without. A file that cannot be read is the lost result of the profile that its directory is named
    after.

    Raises UsageError when none can be read and none is expected: it is the wrong place.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("result.json")) if path.is_dir() else [path] if path.exists() or not expected else []
    if not found and not expected:
        raise UsageError(
            f"there is no result.json in {', '.join(map(str, paths))}",
            remedy="`trtllm-build nightly` writes one into DIR/report",
        )
    results: list[Result] = []
    faults: dict[str, str] = {}
    for path in found:
        try:
            results.append(read_result(path))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            faults[path.absolute().parent.name.removeprefix(ARTEFACT)] = f"{path} is no result: {why}"
    if not results and not expected:
        raise UsageError("; ".join(faults.values()), remedy="name what `trtllm-build nightly` wrote")
    known = {one.profile for one in results}
    faults = {name: faults.get(name, "its job left no result") for name in (*faults, *expected) if name not in known}
    # Of the same night as the others, and the same when it is told again.
    started = max((one.started for one in results), default=round(time.time(), 3))
    results += [
        Result(
            profile, "lost", _KILLED, started, 0.0, __version__, fault=fault,
            remedy="see the log of its job; the same command goes on where it stopped",
        )
        for profile, fault in faults.items()
    ]  # fmt: skip
    return sorted(results, key=lambda one: (one.profile, one.started))
