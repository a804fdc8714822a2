"""A directory of a fetch's own beside the caches. It is locked while it is used, so that gc knows what a kill left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trtllm_builder.build.lock import take

PREFIX = "fetch-"
LOCK = ".fetching"


@contextmanager
def scratch_in(caches: Path) -> Iterator[Path]:
    """Removed at the end, whatever happens but a kill."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=caches) as name:
        descriptor = os.open(Path(name) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Where the file system has no locks, nobody can tell.
            with suppress(OSError):
                take(descriptor)
            yield Path(name)
        finally:
            os.close(descriptor)
