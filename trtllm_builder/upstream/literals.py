"""Values of Python expressions that are plain literals, or built from literals by names, f-strings and simple joins.

Nothing of upstream's is imported or run. What is not certain is ``UNKNOWN``.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final


class Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
_LONGEST = 10_000


def evaluate(node: ast.expr, known: Mapping[str, object]) -> object:
    """The value of ``node`` with the ``known`` names, or UNKNOWN; lists become tuples of the same.

    A dictionary with literal keys becomes one of its value's nodes, for those who want to see how a value is written.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id, UNKNOWN)
    if isinstance(node, (ast.List, ast.Tuple)):
        return _sequence(node.elts, known)
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else UNKNOWN for key in node.keys]
        return dict(zip(keys, node.values, strict=True)) if all(isinstance(key, str) for key in keys) else UNKNOWN
    if isinstance(node, ast.JoinedStr):
        parts = [evaluate(part, known) for part in node.values]
        return _joined(parts)
    if isinstance(node, ast.FormattedValue):
        value = evaluate(node.value, known)
        plain = node.format_spec is None and node.conversion == -1
        return str(value) if plain and isinstance(value, (str, int)) else UNKNOWN
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = evaluate(node.left, known), evaluate(node.right, known)
        if isinstance(left, str) and isinstance(right, str):
            return _joined([left, right])
        if isinstance(left, tuple) and isinstance(right, tuple) and len(left) + len(right) < _LONGEST:
            return left + right
        return UNKNOWN
    if isinstance(node, ast.IfExp):
        test = truth(node.test, known)
        return UNKNOWN if test is None else evaluate(node.body if test else node.orelse, known)
    if isinstance(node, ast.Call):
        return _call(node, known)
    return UNKNOWN


def _sequence(nodes: list[ast.expr], known: Mapping[str, object]) -> object:
    values: list[object] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            inner = evaluate(node.value, known)
            if not isinstance(inner, tuple):
                return UNKNOWN
            values.extend(inner)
        else:
            values.append(evaluate(node, known))
    return tuple(values)


def _joined(parts: list[object]) -> object:
    if all(isinstance(part, str) for part in parts):
        text = "".join(str(part) for part in parts)
        return text if len(text) < _LONGEST else UNKNOWN
    return UNKNOWN


def _call(node: ast.Call, known: Mapping[str, object]) -> object:
    """``text.replace(a, b)``, ``sep.join(names)``, ``sorted`` and ``list`` of literals: forms that flag tables use."""
    values = [evaluate(argument, known) for argument in node.args]
    if node.keywords:
        return UNKNOWN
    if isinstance(node.func, ast.Attribute):
        text = evaluate(node.func.value, known)
        if not isinstance(text, str):
            return UNKNOWN
        if node.func.attr == "replace" and len(values) == 2 and all(isinstance(value, str) for value in values):
            short = max(len(text), len(str(values[1]))) < 100
            return text.replace(str(values[0]), str(values[1])) if short else UNKNOWN
        if node.func.attr == "join" and len(values) == 1 and isinstance(values[0], tuple):
            return _joined([part for value in values[0] for part in (text, value)][1:])
    elif isinstance(node.func, ast.Name) and len(values) == 1 and isinstance(values[0], tuple):
        if node.func.id in ("list", "tuple"):
            return values[0]
        if node.func.id == "sorted" and all(isinstance(value, str) for value in values[0]):
            return tuple(sorted(str(value) for value in values[0]))
    return UNKNOWN


def truth(node: ast.expr, known: Mapping[str, object]) -> bool | None:
    """Whether a test holds; None when that is not certain."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = truth(node.operand, known)
        return None if inner is None else not inner
    if isinstance(node, ast.BoolOp):
        tests = [truth(value, known) for value in node.values]
        decisive = isinstance(node.op, ast.Or)
        if decisive in tests:
            return decisive
        return None if None in tests else not decisive
    value = evaluate(node, known)
    return None if value is UNKNOWN or (isinstance(value, tuple) and UNKNOWN in value) else bool(value)


def bind(target: ast.expr, value: object) -> dict[str, object]:
    """Names that assigning ``value`` to ``target`` makes known (UNKNOWN where the shapes do not fit)."""
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, (ast.Tuple, ast.List)):
        parts = value if isinstance(value, tuple) and len(value) == len(target.elts) else (UNKNOWN,) * len(target.elts)
        bound: dict[str, object] = {}
        for element, part in zip(target.elts, parts, strict=True):
            bound.update(bind(element, part))
        return bound
    return {}
