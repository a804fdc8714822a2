"""Comparisons that can be decided: of constants, with None, with the environment, with Python's own version."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any

from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.values import UNKNOWN, Const, External, Value, is_none, one

_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def compare(machine: Machine, node: ast.Compare, left: Value, right: Value) -> Value:
    """What ``left OPERATOR right`` is; ``node`` has one operator."""
    test = node.ops[0]
    if isinstance(test, (ast.Is, ast.IsNot)):
        answer = is_none(left) if is_none(right) else is_none(right) if is_none(left) else None
        # "x is None" is false for what is no None; "None is x" the same.
        return UNKNOWN if answer is None else one(Const(answer is isinstance(test, ast.Is)))
    if isinstance(test, (ast.In, ast.NotIn)):
        inside: bool | None = _among(left, node.comparators[0])
        if (
            inside is None
            and right == {External("os.environ")}
            and machine.doubts.is_unset(left, machine.facts.clean_environment)
        ):
            inside = False
        return UNKNOWN if inside is None else one(Const(inside is isinstance(test, ast.In)))
    if left == {External("sys.version_info")}:
        return _of_version(node)
    order = _COMPARED.get(type(test))
    if order is None or len(left) != 1 or len(right) != 1:
        return UNKNOWN
    (one_left,), (one_right,) = left, right
    if not isinstance(one_left, Const) or not isinstance(one_right, Const):
        return UNKNOWN
    try:
        return one(Const(bool(order(one_left.value, one_right.value))))
    except TypeError:
        return UNKNOWN


def _among(value: Value, node: ast.expr) -> bool | None:
    """Whether a constant is in a list of constants that stands there; None when that cannot be known."""
    listed = literals(node)
    if listed is None or not all(isinstance(atom, Const) for atom in value):
        return None
    answers = {atom.value in listed for atom in value if isinstance(atom, Const)}
    return answers.pop() if len(answers) == 1 else None


def literals(node: ast.expr) -> Sequence[object] | None:
    """The constants of a list, tuple or set that consists of them."""
    if not isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return None
    found = [part.value for part in node.elts if isinstance(part, ast.Constant)]
    return found if len(found) == len(node.elts) else None


def _of_version(node: ast.Compare) -> Value:
    """``sys.version_info >= (3, 8)``: nobody has less than 3.10, and how much more is not known."""
    asked = literals(node.comparators[0])
    if not asked or not all(isinstance(part, int) for part in asked) or tuple(asked) > (3, 10):
        return UNKNOWN
    known = {ast.GtE: True, ast.Lt: False}
    return one(Const(known[type(node.ops[0])])) if type(node.ops[0]) in known else UNKNOWN
