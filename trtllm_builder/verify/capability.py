"""Which GPU code runs on which GPU. ``sm_89`` is the GPU of compute capability 8.9.

Source: NVIDIA's CUDA C++ Programming Guide on binary compatibility and on architecture- and family-specific targets:
plain machine code runs on GPUs of the same major and the same or a later minor version; ``a`` on that one GPU only;
``f`` on those of its family from that one on; and between Tegra and other GPUs nothing is promised at all.
"""

from __future__ import annotations

import re

_TEGRA = frozenset({53, 62, 72, 87, 101, 110})
_NAME = re.compile(r"(?:sm|compute)_(\d{2,3})([af]?)")


def number(target: str) -> int:
    """89 for ``sm_89``, 90 for ``compute_90a``; 0 for what is no target."""
    match = _NAME.fullmatch(target)
    return int(match[1]) if match else 0


def runs_on(target: str, gpu: int) -> bool:
    """Whether machine code for ``target`` (``sm_86``, ``sm_100f``) runs on the GPU ``gpu`` (89)."""
    match = _NAME.fullmatch(target)
    if not match:
        return False
    own = int(match[1])
    if match[2] == "a" or {own, gpu} & _TEGRA:
        return own == gpu
    return own // 10 == gpu // 10 and own <= gpu


def runnable(gpu: int) -> frozenset[str]:
    """The targets whose machine code runs on ``gpu``; ``a`` came with 90, ``f`` with 100."""
    suffixes = ("", *(("a",) if gpu >= 90 else ()), *(("f",) if gpu >= 100 else ()))
    names = (f"sm_{one}{suffix}" for one in range(gpu // 10 * 10, gpu + 1) for suffix in suffixes)
    return frozenset(name for name in names if runs_on(name, gpu))


def order(target: str) -> tuple[bool, int, str]:
    """Sort key: machine code before PTX, then by number."""
    return target.startswith("compute"), number(target), target
