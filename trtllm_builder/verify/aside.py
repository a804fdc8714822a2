"""Keeping a wheel that failed under a name that nobody installs by mistake."""

from __future__ import annotations

from pathlib import Path


def kept_aside(wheel: Path) -> Path:
    """Renames ``NAME.whl`` to ``NAME.whl.rejected``, which neither pip nor an index takes; returns the new path.

    An earlier rejected wheel of that name is replaced. Raises OSError.
    """
    return wheel.replace(wheel.with_name(wheel.name + ".rejected"))
