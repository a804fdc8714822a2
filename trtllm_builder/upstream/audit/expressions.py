"""Expressions over abstract values: what a condition decides, and which functions are called with what."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from trtllm_builder.upstream.audit.attributes import attribute
from trtllm_builder.upstream.audit.calls import call
from trtllm_builder.upstream.audit.comparisons import compare
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.machine import Machine, without_absent
from trtllm_builder.upstream.audit.reflection import GLOBALS
from trtllm_builder.upstream.audit.values import (
    UNKNOWN,
    Absent,
    Const,
    External,
    Function,
    Module,
    Mpi,
    Value,
    join,
    one,
    truth,
)

_MOST_TEXTS = 8  # that one sum may be


def evaluate(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    """What the expression may stand for; calls in it are followed."""
    handler = _HANDLERS.get(type(node))
    if handler is not None:
        return handler(machine, node, frame)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            evaluate(machine, child, frame)
    return UNKNOWN


def decide(machine: Machine, node: ast.expr, frame: Frame) -> bool | None:
    """Whether the condition holds; None when that cannot be known."""
    machine.work += 1
    return truth(machine.resolved(evaluate(machine, node, frame), frame))


def _constant(machine: Machine, node: ast.Constant, frame: Frame) -> Value:
    value = node.value
    return one(Const(value)) if value is None or isinstance(value, (bool, int, float, str)) else UNKNOWN


def _name(machine: Machine, node: ast.Name, frame: Frame) -> Value:
    value = _found(machine, node.id, frame)
    absent = next((atom for atom in value if isinstance(atom, Absent)), None)
    if absent is None:
        return value
    # Where it is not even known whether anybody comes here, a NameError is no way to MPI.
    if len(value) == 1 and not machine.overlooking:
        machine.seen.touch(frame, node, f"uses {node.id}, which is only there when {absent.name} was imported")
    return without_absent(value)


def _found(machine: Machine, name: str, frame: Frame) -> Value:
    here: Frame | None = frame if name not in frame.shared else frame.root
    while here is not None:
        if name in here.names:
            value = machine.resolved(here.names[name], frame)
            outside = here is not frame and name in frame.root.changing
            late = name in frame.root.rebound or (here.outer is None and bool(machine.stores[name]))
            return join(value, UNKNOWN) if outside or late else value
        here = here.outer
    if name == "TYPE_CHECKING":
        return one(Const(False))
    if name == "__name__":
        return one(Const(frame.module))
    return one(External(f"builtins.{name}"))


def _attribute(machine: Machine, node: ast.Attribute, frame: Frame) -> Value:
    return attribute(machine, evaluate(machine, node.value, frame), node.attr, frame, node)


def _bool(machine: Machine, node: ast.BoolOp, frame: Frame) -> Value:
    """``and`` and ``or``: what stands behind a decided operand does not run, behind an undecided one it may."""
    ends_on = isinstance(node.op, ast.Or)
    seen: list[Value] = []
    undecided = 0
    try:
        for operand in node.values:
            value = machine.resolved(evaluate(machine, operand, frame), frame)
            answer = truth(value)
            if answer is ends_on:
                # "x and False" is false whatever x is.
                return one(Const(ends_on)) if undecided else value
            if answer is None or operand is node.values[-1]:
                seen.append(value)
            if answer is None:
                undecided += 1
                frame.conditions.append(_text(operand))
        return join(*seen)
    finally:
        del frame.conditions[len(frame.conditions) - undecided :]


def _not(machine: Machine, node: ast.UnaryOp, frame: Frame) -> Value:
    value = machine.resolved(evaluate(machine, node.operand, frame), frame)
    answer = truth(value)
    return one(Const(not answer)) if isinstance(node.op, ast.Not) and answer is not None else UNKNOWN


def _compare(machine: Machine, node: ast.Compare, frame: Frame) -> Value:
    left = machine.resolved(evaluate(machine, node.left, frame), frame)
    rights = [machine.resolved(evaluate(machine, operand, frame), frame) for operand in node.comparators]
    return compare(machine, node, left, rights[0]) if len(rights) == 1 else UNKNOWN


def _added(machine: Machine, node: ast.BinOp, frame: Frame) -> Value:
    """Texts put together; of other sums nothing is known."""
    left, right = (machine.resolved(evaluate(machine, part, frame), frame) for part in (node.left, node.right))
    if not isinstance(node.op, ast.Add) or len(left) * len(right) > _MOST_TEXTS:
        return UNKNOWN
    pairs = [(first, second) for first in left for second in right]
    texts = [
        Const(first.value + second.value)
        for first, second in pairs
        if isinstance(first, Const) and isinstance(second, Const)
        if isinstance(first.value, str) and isinstance(second.value, str)
    ]
    return frozenset(texts) if len(texts) == len(pairs) else UNKNOWN


def _if(machine: Machine, node: ast.IfExp, frame: Frame) -> Value:
    answer = decide(machine, node.test, frame)
    if answer is not None:
        return evaluate(machine, node.body if answer else node.orelse, frame)
    frame.conditions.append(_text(node.test))
    try:
        return join(evaluate(machine, node.body, frame), evaluate(machine, node.orelse, frame))
    finally:
        frame.conditions.pop()


def _call(machine: Machine, node: ast.Call, frame: Frame) -> Value:
    callee = evaluate(machine, node.func, frame)
    positional = [evaluate(machine, argument, frame) for argument in node.args]
    keywords = [(keyword.arg, evaluate(machine, keyword.value, frame)) for keyword in node.keywords]
    starred = next((at for at, argument in enumerate(node.args) if isinstance(argument, ast.Starred)), None)
    if starred is not None:
        # How many there are, and so which parameter gets what behind them, is not known.
        positional, keywords = positional[:starred], [*keywords, (None, UNKNOWN)]
    return call(machine, callee, node, positional, keywords, frame)


def _lambda(machine: Machine, node: ast.Lambda, frame: Frame) -> Value:
    return one(Function("lambda", node, frame, frame.owner))


def _text_of_parts(machine: Machine, node: ast.JoinedStr, frame: Frame) -> Value:
    """An f-string: a constant when all its parts are."""
    parts: list[str | None] = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = machine.resolved(evaluate(machine, part.value, frame), frame)
            atom = next(iter(value)) if len(value) == 1 else None
            plain = part.format_spec is None and part.conversion == -1
            parts.append(str(atom.value) if isinstance(atom, Const) and plain else None)
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value))
    return UNKNOWN if None in parts else one(Const("".join(map(str, parts))))


def _comprehension(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    """Its parts run with names of their own; how often is not known."""
    saved = dict(frame.names)
    for generator in node.generators:  # type: ignore[attr-defined]
        evaluate(machine, generator.iter, frame)
        for target in ast.walk(generator.target):
            if isinstance(target, ast.Name):
                frame.names[target.id] = UNKNOWN
        for condition in generator.ifs:
            evaluate(machine, condition, frame)
    for part in ("elt", "key", "value"):
        if hasattr(node, part):
            evaluate(machine, getattr(node, part), frame)
    frame.names.clear()
    frame.names.update(saved)
    return UNKNOWN


def _assigned(machine: Machine, node: ast.NamedExpr, frame: Frame) -> Value:
    value = evaluate(machine, node.value, frame)
    frame.names[node.target.id] = value
    return value


def _subscript(machine: Machine, node: ast.Subscript, frame: Frame) -> Value:
    """``sys.modules["..."]`` of the package is that module; anything else is unknown."""
    value = machine.resolved(evaluate(machine, node.value, frame), frame)
    index = machine.resolved(evaluate(machine, node.slice, frame), frame)
    if value == {External("sys.modules")} and len(index) == 1:
        (atom,) = index
        if isinstance(atom, Const) and machine.package.file_of(str(atom.value)) is not None:
            return one(Module(str(atom.value)))
    if value == {External(GLOBALS)} and not all(isinstance(atom, Const) for atom in index):
        machine.doubts.exposed.add(frame.root.module)
    if any(isinstance(atom, Mpi) for atom in value):
        return frozenset(atom for atom in value if isinstance(atom, Mpi))
    return UNKNOWN


def _text(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 80 else text[:77] + "..."


_HANDLERS: dict[type[ast.expr], Callable[[Machine, Any, Frame], Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.BoolOp: _bool,
    ast.BinOp: _added,
    ast.UnaryOp: _not,
    ast.Compare: _compare,
    ast.IfExp: _if,
    ast.Call: _call,
    ast.Lambda: _lambda,
    ast.JoinedStr: _text_of_parts,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.NamedExpr: _assigned,
    ast.Subscript: _subscript,
}
