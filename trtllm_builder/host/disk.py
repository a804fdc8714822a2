"""Room on the file system that a directory is on, or would be made on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """``path`` is the nearest directory that exists; sizes in bytes; equal ``device`` means the same file system.

    ``free`` is what this user may still write (statvfs f_bavail), ``free_inodes`` None where the system does not count.
    """

    path: str
    free: int
    total: int
    device: int
    writable: bool
    free_inodes: int | None = None


def probe_disk(path: Path) -> Disk:
    """Never writes; a path that does not exist yet is judged by its nearest existing ancestor."""
    nearest = path.absolute()
    while not (os.access(nearest, os.F_OK) and nearest.is_dir()) and nearest != nearest.parent:
        nearest = nearest.parent
    facts = os.statvfs(nearest)
    return Disk(
        path=str(nearest),
        free=facts.f_bavail * facts.f_frsize,
        total=facts.f_blocks * facts.f_frsize,
        device=nearest.stat().st_dev,
        writable=os.access(nearest, os.W_OK | os.X_OK),
        free_inodes=facts.f_favail if facts.f_files else None,
    )
