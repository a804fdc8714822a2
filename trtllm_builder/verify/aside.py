"""Keeping a wheel that failed under a name that nobody installs by mistake."""

from __future__ import annotations

import shutil
from pathlib import Path


def keep_aside(wheel: Path, directory: Path) -> Path:
    """Copies ``NAME.whl`` to ``NAME.whl.rejected`` in ``directory``, which neither pip nor an index takes.

    An earlier rejected wheel of that name is replaced; a good ``NAME.whl`` that is there stays. Raises OSError.
    """
    kept = directory / f"{wheel.name}.rejected"
    partial = directory / f".{kept.name}.partial"
    try:
        shutil.copyfile(wheel, partial)
        return partial.replace(kept)
    finally:
        partial.unlink(missing_ok=True)
