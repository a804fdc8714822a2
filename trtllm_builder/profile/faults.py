"""pydantic's errors as ours: each at the line and column of the key or value it speaks of, in the file it stood in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trtllm_builder.errors import ProfileError, Where
from trtllm_builder.profile.marks import List, Map, Text, Value, shown
from trtllm_builder.profile.scalars import kind
from trtllm_builder.text import nearest

MOST_FAULTS = 20


def faults(error: ValidationError, tree: Map, model: type[BaseModel], *, part: bool) -> ProfileError | None:
    """The first fault with the others beside it; None when only keys are missing and this is a ``part``."""
    found = [
        _fault(detail, tree, model)
        for detail in error.errors(include_url=False)
        if not (part and detail["type"] == "missing")
    ]
    if not found:
        return None
    found.sort(key=lambda one: (one[0].path != tree.where.path, one[0].path, one[0].line, one[0].column))
    errors = [ProfileError(what, where=where) for where, what in found]
    if len(errors) > MOST_FAULTS:
        more = len(errors) - MOST_FAULTS
        errors = [*errors[:MOST_FAULTS], ProfileError(f"and {more} more faults", where=errors[MOST_FAULTS].where)]
    first = errors[0]
    return ProfileError(first.what, where=first.where, others=tuple(errors[1:]))


def _fault(detail: Any, tree: Map, model: type[BaseModel]) -> tuple[Where, str]:
    loc = list(detail["loc"])
    context = detail.get("ctx", {})
    name = detail["type"]
    if loc and loc[-1] == "[key]":
        return key_where(tree, loc[:-1]), str(context.get("error", detail["msg"]))
    if name == "extra_forbidden":
        return key_where(tree, loc), _unknown(loc, model)
    if name == "missing":
        return _missing_where(tree, loc), _missing(loc, model)
    if name == "fault":
        return value_where(tree, [*loc, *context["at"]]), context["what"]
    return value_where(tree, loc), _wrong(name, detail)


def _wrong(name: str, detail: Any) -> str:
    given = detail["input"]
    if name == "value_error":
        return str(detail["ctx"]["error"])
    if name in ("model_type", "dict_type", "model_attributes_type"):
        return f"expected keys and values, not {kind(given)}"
    if name in ("tuple_type", "list_type"):
        return f"expected a list, not {kind(given)}" + (
            f"; write [{shown(given)[1:-1]}]" if isinstance(given, str) and given else ""
        )
    return str(detail["msg"])


def value_where(tree: Map, loc: list[Any]) -> Where:
    """Where the value under ``loc`` stands, or the nearest thing around it."""
    return _walk(tree, loc)[1].where


def key_where(tree: Map, loc: list[Any]) -> Where:
    """Where the last key of ``loc`` stands, or the nearest thing around it."""
    return _walk(tree, loc)[0]


def _walk(tree: Map, loc: list[Any]) -> tuple[Where, Value]:
    key = tree.where
    here: Value = tree
    for step in loc:
        if isinstance(here, Map) and step in here:
            key, here = here.key_where[step], here[step]
        elif isinstance(here, List) and isinstance(step, int) and step < len(here):
            here = here[step]
            key = here.where
        else:
            break
    return key, here


def _missing_where(tree: Map, loc: list[Any]) -> Where:
    """Where a null deleted it, else the key that it is missing under, else the top of the file."""
    for depth in range(1, len(loc) + 1):
        here = _walk(tree, loc[:depth])[1]
        if isinstance(here, Text) and here.is_null:
            return here.where
    return _walk(tree, loc[:-1])[0] if len(loc) > 1 else Where(tree.where.path)


def _missing(loc: list[Any], model: type[BaseModel]) -> str:
    above = model_at(model, loc[:-1])
    about = ""
    if above is not None:
        about = next((info.description or "" for name, info in _fields(above) if name == loc[-1]), "")
    return f"`{'.'.join(map(str, loc))}` is missing" + (f": {' '.join(about.split())}" if about else "")


def _unknown(loc: list[Any], model: type[BaseModel]) -> str:
    key = str(loc[-1])
    above = model_at(model, loc[:-1])
    known = [name for name, _ in _fields(above)] if above is not None else []
    what = f"unknown key {shown(key)}"
    near = nearest(key, known)
    if near:
        return f"{what}; did you mean `{near}`?"
    elsewhere = [path for path in _paths(model) if path.rpartition(".")[2] == key]
    if elsewhere:
        return f"{what}; it belongs at `{elsewhere[0]}`"
    return f"{what}; expected one of {', '.join(known)}"


def _fields(model: type[BaseModel]) -> list[tuple[str, Any]]:
    return [(info.alias or name, info) for name, info in model.model_fields.items()]


def _child(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_child, get_args(annotation))), None)


def model_at(model: type[BaseModel], loc: list[Any]) -> type[BaseModel] | None:
    """The model of the map under ``loc``; None where it is not a model's."""
    here: type[BaseModel] | None = model
    steps = iter(loc)
    for step in steps:
        info = dict(_fields(here)).get(step) if here is not None else None
        here = _child(info.annotation) if info else None
        if info and get_origin(info.annotation) in (dict, tuple):
            next(steps, None)  # the key or the index
    return here


def _paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, info in _fields(model):
        yield above + name
        child = _child(info.annotation)
        if child is not None and get_origin(info.annotation) not in (dict, tuple):
            yield from _paths(child, f"{above}{name}.")
