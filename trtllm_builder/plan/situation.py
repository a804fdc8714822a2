"""The few facts of a machine that decide which release it can build and run: read here, or given for another machine.

A file for ``--host`` is JSON (schemas/releases-host.json); what it leaves out is not held against a release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtllm_builder.data import cache_dir
from trtllm_builder.errors import UsageError, Where
from trtllm_builder.host.disk import probe_disk
from trtllm_builder.host.interpreters import find_python
from trtllm_builder.host.read import read_host
from trtllm_builder.tools.toolkit import choose_toolkit
from trtllm_builder.units import parse_size

# Data disks of rented containers, as the shipped profiles name them; the roomiest writable one counts.
_DATA_DISKS = (Path("/root/autodl-tmp"), Path("/gz-data"), Path("/workspace"))
_KNOWN = ("driver", "gpus", "cuda", "glibc", "pythons", "disk_free", "place", "memory")


@dataclass(frozen=True)
class Situation:
    """``architectures`` are the GPUs' (89), ``cuda`` the toolkit at hand, ``pythons`` series (3.10), sizes in bytes.

    None, or an empty tuple, means not known. ``place`` is the directory with ``disk`` bytes free.
    """

    driver: str | None = None
    architectures: tuple[int, ...] = ()
    cuda: str | None = None
    glibc: str | None = None
    pythons: tuple[str, ...] = ()
    disk: int | None = None
    place: str | None = None
    memory: int | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "driver": self.driver,
            "architectures": list(self.architectures),
            "cuda": self.cuda,
            "glibc": self.glibc,
            "pythons": list(self.pythons),
            "disk_free": self.disk,
            "place": self.place,
            "memory": self.memory,
        }


def this_machine(environ: Mapping[str, str]) -> Situation:
    """Reads this machine: runs programs, writes nothing."""
    host = read_host(environ=environ)
    ours = cache_dir(environ)
    places = [*(path for path in _DATA_DISKS if path.is_dir()), ours]
    disks = [(disk, place) for place in places if (disk := probe_disk(place)).writable]
    disk, place = max(disks, key=lambda one: one[0].free, default=(probe_disk(ours), ours))
    pythons = (find_python(series, environ) for series in ("3.10", "3.12"))
    return Situation(
        driver=host.driver.version if host.driver else None,
        architectures=tuple(sorted({number for gpu in host.gpus if (number := _architecture(gpu.compute))})),
        cuda=choose_toolkit("auto", ">=11", environ).version,
        glibc=host.system.glibc,
        pythons=tuple(python.series for python in pythons if python and python.fit),
        disk=disk.free,
        place=str(place),
        memory=host.memory.allowed,
    )


def read_situation(path: Path) -> Situation:
    """A machine as a file describes it. Raises UsageError, with the place, for what is no such description."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(
            f"{path} cannot be read: {reason}", remedy="give a JSON file that describes a machine"
        ) from None
    except json.JSONDecodeError as error:
        where = Where(str(path), error.lineno, error.colno)
        raise UsageError(f"this is not JSON: {error.msg}", where=where, remedy=_REMEDY) from None
    if not isinstance(data, dict) or (unknown := sorted(set(data) - set(_KNOWN))):
        what = f"`{unknown[0]}` is nothing that describes a machine" if isinstance(data, dict) else "this is no object"
        raise UsageError(what, where=Where(str(path)), remedy=_REMEDY)
    return Situation(
        driver=_text(data, "driver", path),
        architectures=tuple(_gpu(one, path) for one in _list(data, "gpus", path)),
        cuda=_text(data, "cuda", path),
        glibc=_text(data, "glibc", path),
        pythons=tuple(str(one) for one in _list(data, "pythons", path)),
        disk=_size(data, "disk_free", path),
        place=_text(data, "place", path),
        memory=_size(data, "memory", path),
    )


_REMEDY = (
    'for example {"driver": "570.195.03", "gpus": ["8.9"], "cuda": "12.4", "disk_free": "50 GB", "place": "/workspace"}'
)


def _bad(name: str, value: object, path: Path) -> UsageError:
    return UsageError(f"`{name}` cannot be {json.dumps(value)[:60]}", where=Where(str(path)), remedy=_REMEDY)


def _text(data: dict[str, Any], name: str, path: Path) -> str | None:
    value = data.get(name)
    shape = r"/[^\x00-\x1f]*" if name == "place" else r"\d+(\.\w+)*"
    if value is None or (isinstance(value, str) and re.fullmatch(shape, value)):
        return value
    raise _bad(name, value, path)


def _list(data: dict[str, Any], name: str, path: Path) -> list[Any]:
    value = data.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _bad(name, value, path)
    return value


def _gpu(text: str, path: Path) -> int:
    number = _architecture(text)
    if number is None:
        raise _bad("gpus", text, path)
    return number


def _architecture(compute: str | None) -> int | None:
    """89 of NVIDIA's 8.9."""
    match = re.fullmatch(r"(\d{1,2})\.(\d)", compute or "")
    return int(match[1]) * 10 + int(match[2]) if match else None


def _size(data: dict[str, Any], name: str, path: Path) -> int | None:
    value = data.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    try:
        return parse_size(value)
    except (ValueError, TypeError, AttributeError):
        raise _bad(name, value, path) from None
