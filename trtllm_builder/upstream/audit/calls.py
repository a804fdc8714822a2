"""Calls: functions and classes of the package are followed, what others are known to answer is answered."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from trtllm_builder.upstream.audit.attributes import TEXT_AGAIN, instance, method
from trtllm_builder.upstream.audit.externals import call_external
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.functions import Keywords, arguments, escape
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.values import (
    UNKNOWN,
    Anything,
    Atom,
    Bound,
    Class,
    Const,
    External,
    Function,
    Instance,
    Mpi,
    Nothing,
    Partial,
    TextMethod,
    Value,
    join,
    one,
)


def call(
    machine: Machine, callee: Value, node: ast.Call, positional: Sequence[Value], keywords: Keywords, frame: Frame
) -> Value:
    """What the call gives, for each thing that the callee may be."""
    atoms = [atom for atom in machine.resolved(callee, frame) if not isinstance(atom, Const)]
    undecided = sum(not isinstance(atom, Anything) for atom in atoms) > 1
    if undecided:
        frame.conditions.append(f"one of several: {ast.unparse(node.func)[:60]}")
    try:
        results = [_one(machine, atom, node, positional, keywords, frame) for atom in atoms]
    finally:
        if undecided:
            frame.conditions.pop()
    return join(*results) if results else UNKNOWN


def _one(
    machine: Machine, atom: Atom, node: ast.Call, positional: Sequence[Value], keywords: Keywords, frame: Frame
) -> Value:
    if isinstance(atom, Mpi):
        machine.seen.touch(frame, node, f"calls {atom.name} of mpi4py", installed=atom.installed)
        return one(atom)
    if isinstance(atom, Function):
        return machine.run(atom, arguments(atom, positional, keywords), frame, node)
    if isinstance(atom, Bound):
        given = [one(atom.receiver), *positional]
        return machine.run(atom.function, arguments(atom.function, given, keywords), frame, node)
    if isinstance(atom, Class):
        return instantiate(machine, atom, node, positional, keywords, frame)
    if isinstance(atom, Instance):
        inner = method(machine, atom.of, "__call__", frame)
        if inner is not None:
            return join(*(_one(machine, Bound(each, atom), node, positional, keywords, frame)
                          for each in inner if isinstance(each, Function))) or UNKNOWN  # fmt: skip
    if isinstance(atom, Partial):
        first, keyed = [*atom.positional, *positional], [*atom.keywords, *keywords]
        return _one(machine, atom.of, node, first, keyed, frame)
    if isinstance(atom, TextMethod):
        return _of_text(atom, positional)
    if isinstance(atom, External):
        return call_external(machine, atom.name, node, positional, keywords, frame)
    if isinstance(node.func, ast.Attribute):
        if not node.func.attr.startswith("__"):
            # "super().__init__()" of a class outside the package is no call of our own classes' constructors.
            machine.asked_for.setdefault(node.func.attr, (*frame.trail, frame.place(node)))
        if node.func.attr in ("get", "pop") and _is_nothing(machine, node.func, frame):
            return positional[1] if len(positional) > 1 else one(Const(None))
    escape(machine, positional, keywords, frame, node)
    return UNKNOWN


def _of_text(atom: TextMethod, positional: Sequence[Value]) -> Value:
    if atom.name in TEXT_AGAIN:
        return UNKNOWN if positional else one(Const(TEXT_AGAIN[atom.name](atom.text)))
    given = next(iter(positional[0])) if len(positional) == 1 and len(positional[0]) == 1 else None
    if isinstance(given, Const) and isinstance(given.value, str):
        begins = atom.name == "startswith"
        return one(Const(atom.text.startswith(given.value) if begins else atom.text.endswith(given.value)))
    return UNKNOWN


def _is_nothing(machine: Machine, node: ast.Attribute, frame: Frame) -> bool:
    value = frame.names.get(node.value.id) if isinstance(node.value, ast.Name) else None
    return value == one(Nothing())


def instantiate(
    machine: Machine, made: Class, node: ast.AST, positional: Sequence[Value], keywords: Keywords, frame: Frame
) -> Value:
    """A new object of the class: its ``__init__`` (or ``__new__``, ``__post_init__``) is followed."""
    itself = instance(machine, made, frame)
    machine.instantiated.setdefault(made)
    for name in ("__new__", "__init__", "__post_init__", "__attrs_post_init__"):
        for function in method(machine, made, name, frame) or ():
            if isinstance(function, Function):
                given = [one(made if name == "__new__" else itself)]
                given += positional if name in ("__new__", "__init__") else ()
                machine.run(function, arguments(function, given, keywords), frame, node)
    return one(itself)


def call_at(node: ast.stmt) -> ast.Call:
    """A call without a text of its own, such as a decorator's, at the place of a statement."""
    return ast.copy_location(ast.Call(ast.copy_location(ast.Name("call", ast.Load()), node), [], []), node)
