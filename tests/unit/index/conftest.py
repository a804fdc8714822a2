"""Wheels of an index, without their files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from trtllm_builder.index.model import Needs, Wheel

Entry = Callable[..., Wheel]


@pytest.fixture
def entry() -> Entry:
    """``entry("tensorrt-llm", "1.2.0+sd.cu130.sm89", day=3)``: published on that day of 2026."""

    def make(
        project: str = "tensorrt-llm", version: str = "1.2.0+sd.cu130.sm89", *, day: int = 1, **more: Any
    ) -> Wheel:
        tag = more.pop("tag", "cp312-cp312-linux_x86_64")
        filename = f"{project.replace('-', '_')}-{version}-{tag}.whl"
        fields: dict[str, Any] = {
            "sha256": hashlib.sha256(filename.encode()).hexdigest(),
            "size": 1000,
            "uploaded": f"2026-01-{day:02d}T00:00:00.000000Z",
            "metadata": hashlib.sha256(version.encode()).hexdigest(),
            "requires_python": ">=3.10, <4",
            "standing": "verified",
            "needs": Needs("CPython 3.12", "2.28", (13,), "580.65.06", ("sm_89",), (), "torch>=2.9"),
        }
        return Wheel(project=project, version=version, filename=filename, **{**fields, **more})

    return make
