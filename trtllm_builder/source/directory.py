"""A directory of the user's into a workspace, as it stands and without writing to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.source.model import Checkout, Existing, Log, quiet


def obtain_directory(
    source: Path,
    destination: Path,
    *,
    environ: Mapping[str, str],
    ref: str | None = None,
    commit: str | None = None,
    exclude: tuple[str, ...] = (),
    log: Log = quiet,
    existing: Existing = "keep",
) -> Checkout:
    """Signature first; the body follows in the next commit."""
    raise NotImplementedError
