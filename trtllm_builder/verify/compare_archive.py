"""How two archives pack what may well be the same: dates, order, modes, compression."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# What zipfile raises over a damaged directory; what is wrong with it is ``verify``'s to say.
_DAMAGE = (zipfile.BadZipFile, ValueError, IndexError, NotImplementedError, OSError)
_METHODS = {0: "stored", 8: "deflated", 12: "bzip2", 14: "lzma"}


@dataclass(frozen=True)
class ArchiveChange:
    """``what`` differs in ``count`` members that both have; ``a`` and ``b`` are the values of the first of them."""

    what: str
    count: int
    member: str
    a: str
    b: str


def archive_changes(a: Path, b: Path) -> tuple[ArchiveChange, ...]:
    """date, mode, compression, system, packed size (of the same contents: another compressor) and order.

    Empty where an archive's directory cannot be read.
    """
    try:
        first, second = _members(a), _members(b)
    except _DAMAGE:
        return ()
    both = [name for name in first if name in second]
    found = []
    for what, value in _VALUES.items():
        differ = [name for name in both if value(first[name]) != value(second[name])]
        if differ:
            one = differ[0]
            found.append(ArchiveChange(what, len(differ), one, value(first[one]), value(second[one])))
    same = [name for name in both if first[name].CRC == second[name].CRC]
    if differ := [name for name in same if first[name].compress_size != second[name].compress_size]:
        sizes = (str(side[differ[0]].compress_size) for side in (first, second))
        found.append(ArchiveChange("packed size", len(differ), differ[0], *sizes))
    order = [name for name in second if name in first]
    if both != order:
        at = next(n for n, (x, y) in enumerate(zip(both, order, strict=True)) if x != y)
        found.append(ArchiveChange("order", len(both) - at, both[at], both[at], order[at]))
    return tuple(found)


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: info for info in archive.infolist()}


def _date(info: zipfile.ZipInfo) -> str:
    return "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*info.date_time)


def _packing(info: zipfile.ZipInfo) -> str:
    return _METHODS.get(info.compress_type, f"method {info.compress_type}")


_VALUES: dict[str, Callable[[zipfile.ZipInfo], str]] = {
    "date": _date,
    "mode": lambda info: f"{info.external_attr >> 16:o}",
    "compression": _packing,
    "system": lambda info: str(info.create_system),
}
