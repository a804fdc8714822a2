"""Check of the record beside the wheel, which a build of ours leaves there."""

from __future__ import annotations

import os
from pathlib import Path

from trtllm_builder.verify.checks import Check, judged, skipped
from trtllm_builder.verify.expect import read_record, record_path


def build_record_check(wheel: Path, sha256: str) -> Check:
    """build-record: whether the wheel could be held to what the record beside it says."""
    title, path = "the record beside it is of this wheel", record_path(wheel)
    if not os.path.lexists(path):
        return skipped("build-record", title, f"there is no {path.name} beside it", severity="info")
    problems = []
    try:
        of, _ = read_record(wheel)
        if of != sha256:
            problems.append(f"the record beside it is of other bytes: sha256 {of[:64]}, the wheel has {sha256}")
    except OSError as error:
        problems.append(f"the record beside it cannot be read: {(error.strerror or str(error)).lower()}")
    except ValueError as error:
        problems.append(f"the record beside it cannot be read: {error}")
    return judged(
        "build-record",
        title,
        problems,
        seen=path.name,
        remedy="One of the two was changed or replaced: fetch both again from where they came.",
    )
