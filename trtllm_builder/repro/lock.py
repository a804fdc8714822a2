"""A lock: every input of one wheel by hash, as a file that reads well as a diff, and what differs between two.

The file is JSON, one input a line, in the order of kinds and names; nothing in it tells of the machine or the moment.
Its digest is the SHA-256 of the same document as canonical JSON (keys sorted, no white space), so that how the file is
laid out does not count.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtllm_builder.errors import ProfileError, Where
from trtllm_builder.repro.inputs import KINDS, Input, sorted_inputs
from trtllm_builder.text import clean

SCHEMA = 1
_LARGEST = 64 << 20
_HEX = re.compile(r"[0-9a-f]{7,128}")
_ALGORITHM = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True)
class Lock:
    """``profile`` is what the profile says but for what changes no byte, ``name`` its name; ``epoch`` is the commit's
    time in seconds since 1970, None for a directory that is no work tree."""

    name: str
    profile: Mapping[str, Any]
    epoch: int | None
    inputs: tuple[Input, ...]

    def to_json(self) -> dict[str, Any]:
        inputs = [one.to_json() for one in sorted_inputs(self.inputs)]
        return {"schema": SCHEMA, "name": self.name, "epoch": self.epoch, "profile": self.profile, "inputs": inputs}

    @property
    def digest(self) -> str:
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def render(self) -> str:
        """The file's text."""
        document = self.to_json()
        inputs = document.pop("inputs")
        head = json.dumps(document, indent=1, sort_keys=False, ensure_ascii=True).removesuffix("\n}")
        lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=True)}" for one in inputs)
        return f'{head},\n "inputs": [\n{lines}\n ]\n}}\n'

    def of(self, *kinds: str) -> tuple[Input, ...]:
        return tuple(one for one in self.inputs if one.kind in kinds)


def build_tag(epoch: int | None, digest: str) -> str:
    """The wheel's build tag: ``20260101_1a2b3c4d``. It begins with digits, and later commits sort after earlier ones
    (https://packaging.python.org/en/latest/specifications/binary-distribution-format/, "File name convention")."""
    return f"{time.strftime('%Y%m%d', time.gmtime(epoch or 0))}_{digest[:8]}"


def lock_path(wheel: Path) -> Path:
    """Where a build keeps the lock of a wheel: beside it."""
    return wheel.with_name(f"{wheel.name}.lock.json")


def read_lock(path: Path) -> Lock:
    """Raises ProfileError, with the line where there is one, for a file that is no lock of ours."""
    remedy = "make one with trtllm-build lock --profile NAME -o FILE"
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ProfileError(f"the lock {path} cannot be read: {error.strerror or error}", remedy=remedy) from None
    if len(data) > _LARGEST:
        raise ProfileError(f"the lock {path} is larger than any of ours", remedy=remedy)
    try:
        document = json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        where = Where(str(path), error.lineno, error.colno)
        raise ProfileError(f"this is no JSON: {error.msg}", where=where, remedy=remedy) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise ProfileError("this is no JSON", where=Where(str(path)), remedy=remedy) from None
    return parse_lock(document, path)


def parse_lock(document: object, path: Path) -> Lock:
    """The lock that ``to_json`` made ``document`` of; ``path`` is named in errors. Raises ProfileError."""

    def refuse(what: str) -> ProfileError:
        remedy = "make one with trtllm-build lock --profile NAME -o FILE"
        return ProfileError(f"this is no lock of ours: {what}", where=Where(str(path)), remedy=remedy)

    if not isinstance(document, dict):
        raise refuse("it is no object")
    if document.get("schema") != SCHEMA or isinstance(document.get("schema"), bool):
        raise refuse(f"its schema is {clean(str(document.get('schema')))[:40]!r}, not {SCHEMA}")
    if set(document) != {"schema", "name", "epoch", "profile", "inputs"}:
        odd = sorted(set(document) ^ {"schema", "name", "epoch", "profile", "inputs"})
        raise refuse(f"{clean(str(odd[0]))[:60]!r} is missing or not known")
    name, epoch, profile = document["name"], document["epoch"], document["profile"]
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]{1,200}", name):
        raise refuse("its profile's name is none")
    if not (epoch is None or (type(epoch) is int and 0 <= epoch < 1 << 34)):
        raise refuse("its epoch is no time")
    if not isinstance(profile, dict) or not isinstance(document["inputs"], list):
        raise refuse("profile or inputs have the wrong type")
    inputs = []
    for number, one in enumerate(document["inputs"], 1):
        try:
            inputs.append(_input(one))
        except ValueError as error:
            raise refuse(f"input {number}: {error}") from None
    return Lock(name, profile, epoch, sorted_inputs(inputs))


def _input(one: object) -> Input:
    if not isinstance(one, dict) or set(one) - {"kind", "name", "version", "uri", "digest", "size"}:
        raise ValueError("it has members that are not known")
    texts = [one.get(key, "") for key in ("kind", "name", "version", "uri")]
    digest, size = one.get("digest", {}), one.get("size")
    if not all(isinstance(text, str) for text in texts) or texts[0] not in KINDS or not texts[1]:
        raise ValueError("kind, name, version and uri have to be texts, of a known kind")
    if not isinstance(digest, dict) or not all(
        _ALGORITHM.fullmatch(key) and isinstance(value, str) and _HEX.fullmatch(value) for key, value in digest.items()
    ):
        raise ValueError("its digest is not of algorithms and hexadecimal numbers")
    if size is not None and (type(size) is not int or size < 0):
        raise ValueError("its size is none")
    return Input(texts[0], texts[1], texts[3], digest, size, texts[2])


@dataclass(frozen=True)
class Difference:
    """``wanted`` and ``found`` in a few words; empty where there is none."""

    kind: str
    name: str
    wanted: str
    found: str

    def __str__(self) -> str:
        if not self.found:
            return f"{self.kind} {self.name}: {self.wanted} is missing"
        if not self.wanted:
            return f"{self.kind} {self.name}: {self.found}, which the lock does not have"
        return f"{self.kind} {self.name}: {self.found}, and the lock has {self.wanted}"


def differences(wanted: Lock, found: Lock) -> tuple[Difference, ...]:
    """Everything in which two locks differ, profile values by their path."""
    return (
        *_values("profile", {"name": wanted.name, **wanted.profile}, {"name": found.name, **found.profile}),
        *_values("commit's time", {"": wanted.epoch}, {"": found.epoch}),
        *input_differences(wanted.inputs, found.inputs),
    )


def profile_differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Values by their dotted path."""
    return tuple(_values("profile", wanted, found))


def input_differences(wanted: tuple[Input, ...], found: tuple[Input, ...]) -> tuple[Difference, ...]:
    """Inputs that are not the same, each kind and name once."""
    first, second = ({(one.kind, one.name, one.uri): one for one in each} for each in (wanted, found))
    # The same thing by another address, such as another commit, is one difference.
    differing = {(one.kind, one.name) for one in {*first.values(), *second.values()} if _other(one, first, second)}
    told = []
    for kind, name in sorted(differing, key=lambda key: (KINDS.index(key[0]), key[1])):
        sides = [[one for key, one in side.items() if key[:2] == (kind, name)] for side in (first, second)]
        for tell in (_told, _address, _all_of):
            words = [" and ".join(map(tell, side)) for side in sides]
            # As few words as show a difference.
            if words[0] != words[1]:
                break
        told.append(Difference(kind, name, *words))
    return tuple(told)


def _other(one: Input, *sides: Mapping[tuple[str, str, str], Input]) -> bool:
    same = [side.get((one.kind, one.name, one.uri)) for side in sides]
    return any(each is None or each.to_json() != one.to_json() for each in same)


def _told(one: Input) -> str:
    number = next(iter(one.digest.values()), "")
    return clean(" ".join(filter(None, (one.version, number[:16])))[:120]) or "no hash"


def _address(one: Input) -> str:
    return clean(one.uri) or "no address"


def _all_of(one: Input) -> str:
    size = "" if one.size is None else f"{one.size} bytes"
    hashes = (f"{algorithm} {value}" for algorithm, value in sorted(one.digest.items()))
    return clean(" ".join(filter(None, (one.version, *hashes, size)))) or "no hash"


def _values(kind: str, wanted: object, found: object, path: str = "") -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted({*wanted, *found}, key=str):
            inner = f"{path}.{key}" if path and key else path or str(key)
            yield from _values(kind, wanted.get(key), found.get(key), inner)
    elif wanted != found:
        yield Difference(kind, clean(path), *(clean(json.dumps(one))[:80] for one in (wanted, found)))
