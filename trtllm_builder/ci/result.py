"""How one profile fared: the one document that the summary, the history and notifications are made of.

Plain JSON values, credentials redacted, nothing of the build's environment in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from trtllm_builder.text import clean, redact

SCHEMA = 1
Ending = Literal["built", "reused", "failed", "interrupted", "died", "lost"]
_LONGEST = 4000
_LARGEST = 2**20


@dataclass(frozen=True)
class Result:
    """``started`` in seconds since 1970, ``seconds`` taken, sizes and peaks in bytes; None is not known.

    ``reused`` is a wheel that was there already. ``interrupted`` (stopped, or its time was over) and ``died`` can be
    gone on with. ``lost`` left no result, or none that can be read: who looked for it says so. ``diagnosis`` is the
    cause's short name where one was found in the log. ``drift`` counts what upstream changed against the catalogue.
    ``link`` leads to the CI's page of it.
    """

    profile: str
    result: Ending
    exit_code: int
    started: float
    seconds: float
    builder: str
    run: str | None = None
    stage: str | None = None
    fault: str | None = None
    remedy: str | None = None
    diagnosis: str | None = None
    lock: str | None = None
    ref: str | None = None
    commit: str | None = None
    version: str | None = None
    wheel: str | None = None
    sha256: str | None = None
    size: int | None = None
    hits: int | None = None
    misses: int | None = None
    peak_memory: int | None = None
    peak_disk: int | None = None
    verdict: str | None = None
    failed_checks: tuple[str, ...] = ()
    drift: int | None = None
    link: str | None = None

    @property
    def good(self) -> bool:
        """Whether there is a wheel that passed."""
        return self.result in ("built", "reused")

    @property
    def resumable(self) -> bool:
        return self.result in ("interrupted", "died")

    def to_json(self) -> dict[str, Any]:
        """With credentials redacted and terminal escapes taken out of every text."""
        return {"schema": SCHEMA, **{name: _shown(value) for name, value in asdict(self).items()}}


def from_json(document: object) -> Result:
    """The result that ``to_json`` made. Raises ValueError with a sentence for anything else."""
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise ValueError("it is no result of this version")
    values: dict[str, Any] = {}
    for field in fields(Result):
        if field.name not in document:
            raise ValueError(f"its {field.name} is missing")
        values[field.name] = _read(field.name, str(field.type), document[field.name])
    return Result(**values)


def read_result(path: Path) -> Result:
    """The result in a file. Raises OSError, and ValueError for a file that holds none."""
    with path.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("it is too large for a result")
    try:
        return from_json(json.loads(data))
    except RecursionError:
        raise ValueError("it is no result: it is nested too deeply") from None


def _shown(value: object) -> object:
    if isinstance(value, str):
        return redact(clean(value))[:_LONGEST]
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value


def _read(name: str, kind: str, value: object) -> object:
    if value is None and kind.endswith("| None"):
        return None
    base = kind.removesuffix(" | None")
    if base == "Ending":
        good = isinstance(value, str) and value in get_args(Ending)
    elif base == "str":
        good = isinstance(value, str) and len(value) <= _LONGEST
    elif base == "int":
        good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    elif base == "float":
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e11
    else:
        good = isinstance(value, list) and len(value) < 1000 and all(isinstance(one, str) for one in value)
    if not good:
        raise ValueError(f"its {name} is of a wrong kind")
    if isinstance(value, list):
        return tuple(clean(one)[:_LONGEST] for one in value)
    return clean(value) if isinstance(value, str) else value
