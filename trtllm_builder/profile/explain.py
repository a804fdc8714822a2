"""Where each value of a profile came from, and the resolved profile as a person reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from trtllm_builder.profile.faults import value_where
from trtllm_builder.profile.marks import Map, Value
from trtllm_builder.profile.merge import is_null
from trtllm_builder.profile.model import CMakeValue, FlagValue, Profile, ProfileFile
from trtllm_builder.text import redact

_SIZES = ("job_memory", "reserve", "max_size")
_BARE = re.compile(r"[0-9]+\Z|[A-Za-z/][\w./+@=:-]*(?<!:)\Z", re.ASCII)


@dataclass(frozen=True)
class Resolved:
    """One value: ``path`` as keys, ``value`` as JSON and ``text`` as YAML has it, ``origin`` as in Profile.origins.

    Credentials in URLs are redacted in both.
    """

    path: tuple[str, ...]
    value: object
    text: str
    origin: str


def leaves(model: BaseModel, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every value and its keys. A CMake option or a flag is one value."""
    for name, info in type(model).model_fields.items():
        yield from _leaves(getattr(model, name), (*above, info.alias or name))


def _leaves(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, BaseModel) and not isinstance(value, (CMakeValue, FlagValue)):
        yield from leaves(value, path)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def origins(model: ProfileFile, tree: Map) -> dict[str, str]:
    """Dotted path of every value -> ``path:line:column`` in the merged ``tree``, ``--set`` or ``default``."""
    return {".".join(path): _origin(tree, path) for path, _ in leaves(model)}


def _origin(tree: Map, path: tuple[str, ...]) -> str:
    here: Value = tree
    for key in path:
        if not isinstance(here, Map) or key not in here or is_null(here[key]):
            return "default"
        here = here[key]
    last = ["value"] if isinstance(here, Map) and "value" in here else []
    where = value_where(tree, [*path, *last])
    return "--set" if where.path.startswith("--set ") else str(where)


def resolved(profile: Profile) -> tuple[Resolved, ...]:
    """All values of the profile in the model's order."""
    return tuple(
        Resolved(path, _json(value), _text(path, value), profile.origins[".".join(path)])
        for path, value in leaves(profile)
        if path[0] not in ("name", "origins")
    )


def render(profile: Profile, *, below: str = "") -> str:
    """The resolved profile as YAML that loads again, each value with its origin in a comment.

    Origins in files under the directory ``below`` are shown relative to it.
    """
    rows: list[tuple[str, str]] = []
    prefix = below.rstrip("/") + "/" if below else ""
    above: tuple[str, ...] = ()
    for one in resolved(profile):
        shared = 0
        while shared < min(len(above), len(one.path) - 1) and above[shared] == one.path[shared]:
            shared += 1
        for depth in range(shared, len(one.path) - 1):
            rows.append(("  " * depth + one.path[depth] + ":", ""))
        rows.append(("  " * (len(one.path) - 1) + f"{one.path[-1]}: {one.text}", one.origin.removeprefix(prefix)))
        above = one.path[:-1]
    width = min(56, max(len(left) for left, _ in rows))
    return "".join(f"{left:<{width}}  # {right}\n" if right else f"{left}\n" for left, right in rows)


def _text(path: tuple[str, ...], value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_text(path, item) for item in value)}]"
    if isinstance(value, CMakeValue):
        return _optional(_quoted(value.value), value.if_declared)
    if isinstance(value, FlagValue):
        return _optional("true" if value.value is None else _quoted(value.value), value.if_declared)
    if isinstance(value, Mapping):
        return "{}"
    if path[-1] in _SIZES and isinstance(value, int):
        return _size(value)
    if path[-1] == "import_deadline":
        return f"{value:g} s"
    return _quoted(str(value))


def _json(value: object) -> object:
    if isinstance(value, BaseModel):
        return {name: _json(item) for name, item in value}
    if isinstance(value, (tuple, list)):
        return [_json(item) for item in value]
    if isinstance(value, Mapping):
        return {}
    return redact(value) if isinstance(value, str) else value


def _optional(text: str, if_declared: bool) -> str:
    return f"{{value: {text}, if_declared: true}}" if if_declared else text


def _size(count: int) -> str:
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count % 2**power == 0:
            return f"{count >> power} {unit}"
    return str(count)


def _quoted(text: str) -> str:
    safe = redact(text)
    return safe if _BARE.match(safe) and safe not in ("null", "Null", "NULL") else json.dumps(safe, ensure_ascii=False)
