"""What compilers of a profile took in earlier builds, kept for the user beside the builds themselves (history.py)."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from trtllm_builder.errors import UsageError
from trtllm_builder.gate.learned import Learned, from_json
from trtllm_builder.plan.history import history_path


def peaks_path(profile: str, environ: Mapping[str, str]) -> Path:
    """Where the user's are."""
    return history_path(profile, environ).with_suffix(".peaks.json")


def read_peaks(path: Path) -> tuple[Learned, str]:
    """What the document of schemas/learned.json says, and what is wrong with it ("" for nothing). One that is not there
    says nothing."""
    try:
        return from_json(path.read_text("utf-8", errors="replace"))
    except FileNotFoundError:
        return Learned(), ""
    except OSError as error:
        return Learned(), f"The learned peaks cannot be read ({error.strerror}); they are not used."


def published_peaks(path: Path) -> tuple[Learned, str]:
    """Of another machine's build: of its wheel's record, or of its peaks.json; and a sentence about entries that were
    left out ("" for none). Raises UsageError for anything else, and when no entry is left."""
    remedy = "give a WHEEL.record.json or a peaks.json of another build"
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"--peaks {path}: {error.strerror}", remedy=remedy) from None
    with suppress(ValueError, RecursionError, TypeError, KeyError):
        text = json.dumps(json.loads(text)["measured"]["peaks"])
    learned, fault = from_json(text)
    if fault and not learned.entries:
        raise UsageError(f"--peaks {path}: {fault}", remedy=remedy)
    return learned, f"{path}: {fault}" if fault else ""


def for_gpus(learned: Learned, architectures: Sequence[int]) -> Learned:
    """Those of code for no others than these GPUs, or for none."""
    wanted = {str(number) for number in architectures}
    return Learned(
        {key: one for key, one in learned.entries.items() if {name.rstrip("af") for name in key[1]} <= wanted}
    )


def add_peaks(path: Path, learned: Learned, *, measured: bool) -> None:
    """Add to the document, whole or not at all, while others do the same. ``measured``: by the build that adds it, so
    that it counts more than what is there; else the newer of each does. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        known = read_peaks(path)[0]
        document = (known.then(learned) if measured else known.merge(learned)).to_json()
        handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=0)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    finally:
        os.close(directory)
