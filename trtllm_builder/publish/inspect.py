"""What the index's own check cannot know: whether what lies beside a wheel of ours is of one build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trtllm_builder.errors import PublishError
from trtllm_builder.index.check import Problem
from trtllm_builder.index.model import Wheel
from trtllm_builder.publish.bound import misfits
from trtllm_builder.publish.evidence import RECORD, read_evidence


def inspect(path: Path, wheel: Wheel) -> Iterator[Problem]:
    """``path``: where the wheel lies, all of whose files have their hashes."""
    if RECORD not in wheel.beside:
        return
    beside = {suffix: path.with_name(path.name + suffix) for suffix in wheel.beside}
    try:
        record = read_evidence(path, wheel.sha256).record
        for found in misfits(record or {}, beside, wheel.sha256):
            yield Problem(wheel.path, f"has beside it what is not of one build: {found}", False)
    except PublishError as error:
        yield Problem(wheel.path, f"has a record that says nothing: {error.what}", False)
