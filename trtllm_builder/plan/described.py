"""A machine as a JSON file for ``--host`` describes it (schemas/releases-host.json).

What it leaves out is not held against a release. The file may come from anywhere.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

from trtllm_builder.errors import UsageError, Where
from trtllm_builder.plan.situation import Situation, architecture
from trtllm_builder.units import parse_size

_LARGEST = 2**20  # bytes: a description is a few lines
_MOST = 2**60  # bytes that a disk or a memory may have
_VERSION = r"\d{1,9}(\.\d{1,9}){%s}"
_SHAPES = {
    "driver": _VERSION % "0,3",
    "cuda": _VERSION % "1,2",
    "glibc": _VERSION % "1,2",
    "pythons": r"3\.\d{1,2}",
    "gpus": r"\d{1,2}\.\d",
    "machine": "x86_64|aarch64",
    "place": "/.*",
}
_SIZES = ("disk_free", "memory")
_REMEDY = (
    'for example {"driver": "570.195.03", "gpus": ["8.9"], "cuda": "12.4", "disk_free": "50 GB", "place": "/workspace"}'
    f"; the keys are {', '.join((*_SHAPES, *_SIZES))}"
)


def read_situation(path: Path) -> Situation:
    """Raises UsageError, with the place, for what is no such description."""
    data = _load(path)
    if not isinstance(data, dict):
        raise UsageError("this is no object", where=Where(str(path)), remedy=_REMEDY)
    for name in sorted(set(data) - {*_SHAPES, *_SIZES}):
        raise UsageError(
            f"{json.dumps(name)[:60]} is nothing that describes a machine", where=Where(str(path)), remedy=_REMEDY
        )
    return Situation(
        driver=_text(data, "driver", path),
        architectures=tuple(number for one in _list(data, "gpus", path) if (number := architecture(one))),
        cuda=_text(data, "cuda", path),
        glibc=_text(data, "glibc", path),
        pythons=_list(data, "pythons", path),
        disk=_size(data, "disk_free", path),
        place=_text(data, "place", path),
        memory=_size(data, "memory", path),
        machine=_text(data, "machine", path) or "x86_64",
    )


def _load(path: Path) -> Any:
    try:
        text = _read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"{path} cannot be read: {reason}", remedy="give a JSON file that describes a machine"
        ) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = Where(str(path), error.lineno, error.colno)
        raise UsageError(f"this is not JSON: {error.msg}", where=where, remedy=_REMEDY) from None
    except RecursionError:
        raise UsageError("this is nested too deeply", where=Where(str(path)), remedy=_REMEDY) from None
    except ValueError:  # Python's limit on the digits of an integer
        raise UsageError("there is a number of too many digits", where=Where(str(path)), remedy=_REMEDY) from None


def _read(path: Path) -> str:
    """The text of a regular file: a pipe could let us wait for ever. Raises OSError and ValueError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("it is larger than 1 MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _bad(name: str, value: object, path: Path) -> UsageError:
    try:
        shown = json.dumps(value)[:60]
    except RecursionError:
        shown = "nested that deeply"
    return UsageError(f"`{name}` cannot be {shown}", where=Where(str(path)), remedy=_REMEDY)


def _fits(name: str, value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(re.fullmatch(_SHAPES[name], value, re.ASCII))


def _text(data: dict[str, Any], name: str, path: Path) -> str | None:
    value = data.get(name)
    if value is None:
        return None
    if not _fits(name, value):
        raise _bad(name, value, path)
    return str(value)


def _list(data: dict[str, Any], name: str, path: Path) -> tuple[str, ...]:
    value = data.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(_fits(name, one) for one in value):
        raise _bad(name, value, path)
    return tuple(dict.fromkeys(value))


def _size(data: dict[str, Any], name: str, path: Path) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    try:
        size = parse_size(value) if isinstance(value, str) and len(value) <= 40 else value
    except ValueError:
        size = None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST:
        raise _bad(name, value, path)
    return size
