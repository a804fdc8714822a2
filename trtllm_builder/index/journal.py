"""What a publisher is about to place or to remove, so that whoever comes after one that was killed knows what it left.

Only what stands here is ever removed from ``files/``: a wheel that no page names and that is not noted here is
somebody's, or its pages were lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from trtllm_builder.index.files import remove, settle

JOURNAL = ".unfinished"
_PLACE = re.compile(r"files/[a-z0-9][a-z0-9-]*/[0-9a-f]{16}")
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def note(root: Path, places: Iterable[str]) -> None:
    """Durable before it returns. ``places``: directories, relative to the index. Raises OSError."""
    data = "".join(f"{place}\n" for place in places).encode()
    if not data:
        return
    descriptor = os.open(root / JOURNAL, _APPEND, 0o666)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    settle(root)


def noted(root: Path) -> frozenset[str]:
    """A line that was cut off is left out: what it names was not begun."""
    try:
        lines = (root / JOURNAL).read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return frozenset()
    return frozenset(line[:-1] for line in lines if line.endswith("\n") and _PLACE.fullmatch(line[:-1]))


def forget(root: Path) -> None:
    """Raises OSError."""
    remove(root / JOURNAL)
