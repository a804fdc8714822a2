"""A wanted commit into a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.source.model import Checkout, Existing, Log, SourceWant, quiet


def obtain(
    want: SourceWant,
    *,
    cache: Path,
    destination: Path,
    environ: Mapping[str, str],
    deadline: float,
    log: Log = quiet,
    existing: Existing = "keep",
    offline: bool = False,
) -> Checkout:
    """Signature first; the body follows in the next commit."""
    raise NotImplementedError
