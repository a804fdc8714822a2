"""How a function of the package is followed: what its parameters are, and who may call it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from trtllm_builder.upstream.audit.attributes import instance, method
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.model import Place, Standing
from trtllm_builder.upstream.audit.values import UNKNOWN, Bound, Class, Const, Function, Nothing, Partial, Value, one

Keywords = Sequence[tuple[str | None, Value]]


def parameters(function: Function) -> tuple[str, ...]:
    """The names of all parameters but ``*`` and ``**``."""
    spec = function.node.args
    return tuple(argument.arg for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs))


def arguments(function: Function, positional: Sequence[Value], keywords: Keywords) -> dict[str, Value]:
    """Parameter -> value: what was given, else the default, else unknown."""
    spec = function.node.args
    names = [argument.arg for argument in (*spec.posonlyargs, *spec.args)]
    every = parameters(function)
    defaults = dict(zip(names[len(names) - len(spec.defaults) :], spec.defaults, strict=True))
    defaults |= {
        argument.arg: default
        for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
        if default is not None
    }
    given = dict(zip(names, positional, strict=False))
    starred = any(name is None for name, _value in keywords)
    given |= {name: value for name, value in keywords if name is not None}
    values: dict[str, Value] = {}
    for name in every:
        if name in given:
            values[name] = given[name]
        elif name in defaults and not starred:
            default = defaults[name]
            known = isinstance(default, ast.Constant) and isinstance(default.value, (bool, int, float, str, type(None)))
            values[name] = one(Const(default.value)) if known else UNKNOWN  # type: ignore[attr-defined]
        else:
            values[name] = UNKNOWN
    if spec.vararg is not None:
        values[spec.vararg.arg] = UNKNOWN
    if spec.kwarg is not None:
        empty = not starred and not set(given) - set(every)
        values[spec.kwarg.arg] = one(Nothing()) if empty else UNKNOWN
    return values


def escape(machine: Machine, positional: Sequence[Value], keywords: Keywords, frame: Frame, node: ast.AST) -> None:
    """Functions that are handed to somebody unknown (a thread, a pool, ``atexit``) may be called by him."""
    for value in (*positional, *(value for _name, value in keywords)):
        for atom in machine.resolved(value, frame):
            while isinstance(atom, Partial):
                atom = atom.of
            if isinstance(atom, (Function, Bound)):
                run_somehow(machine, atom, frame, node)


def run_somehow(machine: Machine, atom: Function | Bound, frame: Frame, node: ast.AST) -> None:
    """Follow a function that may be called, with arguments that nobody knows."""
    before = frame.standing
    frame.standing = Standing.POSSIBLE
    try:
        function = atom.function if isinstance(atom, Bound) else atom
        given = [one(atom.receiver)] if isinstance(atom, Bound) else []
        machine.run(function, arguments(function, given, [(None, UNKNOWN)]), frame, node)
    finally:
        frame.standing = before


def any_method(machine: Machine, owner: Class, name: str, trail: tuple[Place, ...]) -> None:
    """A method called by its name on an object that is not known, and that may be of this class."""
    frame = machine.modules.get(owner.home.root.module, owner.home)
    for atom in method(machine, owner, name, frame) or ():
        if isinstance(atom, Function):
            given = (
                []
                if atom.kind == "static"
                else [one(owner if atom.kind == "class" else instance(machine, owner, frame))]
            )
            inner = Frame(frame.module, frame.path, {}, frame, Standing.POSSIBLE, trail)
            machine.run(atom, arguments(atom, given, [(None, UNKNOWN)]), inner, atom.node)
