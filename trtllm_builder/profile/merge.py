"""Putting YAML trees over each other: ``extends`` and ``--set``. Nothing is changed in place."""

from __future__ import annotations

from trtllm_builder.errors import ProfileError, Where
from trtllm_builder.profile.marks import Map, Text, Value, parse_text, shown


def merge(base: Map, over: Map) -> Map:
    """``over`` on top of ``base``: maps by key, everything else replaced.

    A plain null stays in the result, so that it also deletes below whatever this is put over later;
    :func:`plain` leaves it out.
    """
    result = Map(base.where)
    for key, value in base.items():
        result.put(key, base.key_where[key], value)
    for key, value in over.items():
        below = base.get(key)
        if isinstance(below, Map) and isinstance(value, Map):
            value = merge(below, value)
        result.put(key, over.key_where[key], value)
    return result


def plain(value: Value) -> object:
    """The tree without marks: dict, list, str; what is null is left out of maps and is None in lists."""
    if isinstance(value, Map):
        return {key: plain(item) for key, item in value.items() if not is_null(item)}
    if isinstance(value, Text):
        return None if value.is_null else str(value)
    return [plain(item) for item in value]


def is_null(value: Value) -> bool:
    return isinstance(value, Text) and value.is_null


def override(text: str) -> Map:
    """The tree that ``--set path=VALUE`` stands for. VALUE is YAML, and null deletes."""
    label = f"--set {shown(text)[1:-1]}"
    dotted, equals, value = text.partition("=")
    if not equals or not value.strip():
        raise ProfileError("expected path=VALUE, such as build.jobs=4; null takes a value back", where=Where(label))
    tree = parse_text(value, label, column=len(dotted) + 2)
    column = len(dotted) + 1
    for key in reversed(dotted.split(".")):
        column -= len(key) + 1
        where = Where(label, 1, column + 1)
        if not key or key != key.strip() or not key.isprintable():
            raise ProfileError(f"expected keys with dots between them, not {shown(dotted)}", where=where)
        outer = Map(where)
        outer.put(key, where, tree)
        tree = outer
    assert isinstance(tree, Map)  # noqa: S101 - the loop above ran at least once
    return tree
