"""GitHub's ``${{ }}``, as far as our workflow files use it.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|[!(),]|[\w-]+(?:\.[\w-]+)*)")
_INSIDE = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
_STATUS = re.compile(r"\b(always|cancelled|success|failure)\(\)")


def fill(value: Any, context: Mapping[str, Any]) -> Any:
    """``value`` with all expressions in its texts evaluated; one that is the whole text keeps its type."""
    if isinstance(value, dict):
        return {name: fill(one, context) for name, one in value.items()}
    if isinstance(value, list):
        return [fill(one, context) for one in value]
    if not isinstance(value, str):
        return value
    whole = _INSIDE.fullmatch(value.strip())
    if whole:
        return evaluate(whole[1], context)
    return _INSIDE.sub(lambda found: text(evaluate(found[1], context)), value)


def holds(condition: str | None, context: Mapping[str, Any]) -> bool:
    """An ``if:``; without a function of status in it, everything before must have succeeded."""
    told = (condition or "success()").strip()
    whole = _INSIDE.fullmatch(told)
    told = whole[1] if whole else told
    return bool(evaluate(told if _STATUS.search(told) else f"success() && ({told})", context))


def text(value: Any) -> str:
    """As GitHub writes a value into a text."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """Raises ValueError for what is no expression that we know: better than to guess."""
    tokens, at = [], 0
    expression = expression.strip()
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if not found:
            raise ValueError(f"not understood: {expression[at:]!r}")
        tokens.append(found[1])
        at = found.end()
    value, rest = _either(tokens, context)
    if rest:
        raise ValueError(f"not understood: {rest}")
    return value


def _either(tokens: list[str], context: Mapping[str, Any]) -> tuple[Any, list[str]]:
    value, rest = _both(tokens, context)
    while rest[:1] == ["||"]:
        other, rest = _both(rest[1:], context)
        value = value or other
    return value, rest


def _both(tokens: list[str], context: Mapping[str, Any]) -> tuple[Any, list[str]]:
    value, rest = _equal(tokens, context)
    while rest[:1] == ["&&"]:
        other, rest = _equal(rest[1:], context)
        value = value and other
    return value, rest


def _equal(tokens: list[str], context: Mapping[str, Any]) -> tuple[Any, list[str]]:
    value, rest = _one(tokens, context)
    if rest[:1] in (["=="], ["!="]):
        other, after = _one(rest[1:], context)
        return (text(value) == text(other)) is (rest[0] == "=="), after
    return value, rest


def _one(tokens: list[str], context: Mapping[str, Any]) -> tuple[Any, list[str]]:
    first, rest = tokens[0], tokens[1:]
    if first == "!":
        value, rest = _one(rest, context)
        return not value, rest
    if first == "(":
        value, rest = _either(rest, context)
        return value, rest[1:]
    if first.startswith("'"):
        return first[1:-1].replace("''", "'"), rest
    if rest[:1] == ["("]:
        given, rest = [], rest[1:]
        while rest[0] != ")":
            value, rest = _either(rest[rest[0] == "," :], context)
            given.append(value)
        return _call(first, given, context), rest[1:]
    found: Any = context
    for name in first.split("."):
        # What is not there is empty.
        found = found.get(name) if isinstance(found, Mapping) else None
    return found, rest


def _call(name: str, given: list[Any], context: Mapping[str, Any]) -> Any:
    if name == "format":
        return re.sub(r"\{(\d+)\}", lambda found: text(given[1 + int(found[1])]), given[0])
    if name == "fromJSON":
        return json.loads(given[0])
    if name == "startsWith":
        return text(given[0]).lower().startswith(text(given[1]).lower())
    if name in ("always", "cancelled", "success", "failure"):
        good = context["status"] == "success"
        return {"always": True, "cancelled": False, "success": good, "failure": not good}[name]
    raise ValueError(f"the function {name} is not known here")
