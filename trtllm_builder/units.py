"""Sizes and durations as people write them (``6 GiB``, ``120 s``) and as we show them."""

from __future__ import annotations

import re

_SIZES = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_SECONDS = {"": 1.0, "MS": 0.001, "S": 1.0, "MIN": 60.0, "M": 60.0, "H": 3600.0}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*\Z", re.ASCII)


def _parse(text: str, table: dict[str, float] | dict[str, int], example: str) -> float:
    match = _QUANTITY.match(text)
    if not match or match[2].upper() not in table:
        raise ValueError(f"expected a number and a unit, such as {example}")
    return float(match[1]) * table[match[2].upper()]


def parse_size(text: str) -> int:
    """Bytes in ``6 GiB``, ``500 MB`` or ``1024``. Raises ValueError with a sentence."""
    return round(_parse(text, _SIZES, "6 GiB or 500 MB"))


def parse_duration(text: str) -> float:
    """Seconds in ``120 s``, ``2 min``, ``1.5 h`` or ``20``. Raises ValueError with a sentence."""
    return _parse(text, _SECONDS, "120 s or 2 min")


def format_size(count: float) -> str:
    """``6.0 GiB``; whole bytes below 1 KiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def format_age(seconds: float) -> str:
    """``45 s``, ``3 min``, ``5 h`` or ``12 d``, rounded down."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def format_duration(seconds: float) -> str:
    """``8.3 s``, ``2 min 05 s`` or ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
