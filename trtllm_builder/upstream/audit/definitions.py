"""``def`` and ``class``: what they bind, and what runs while they are defined."""

from __future__ import annotations

import ast

from trtllm_builder.upstream.audit.calls import call, call_at
from trtllm_builder.upstream.audit.expressions import evaluate
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.functions import run_somehow
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.values import UNKNOWN, Bound, Class, External, Function, Value, join, one

_PROPERTIES = ("property", "cached_property")


def define_function(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
    in_class = "(class)" in frame.names
    home = frame.outer if in_class and frame.outer is not None else frame
    kind = "plain"
    decorators = []
    for decorator in node.decorator_list:
        word = ast.unparse(decorator).rpartition(".")[2]
        if word in ("staticmethod", "classmethod"):
            kind = "static" if word == "staticmethod" else "class"
        elif word in _PROPERTIES:
            kind = "property"
        elif word not in ("setter", "deleter"):
            decorators.append(evaluate(machine, decorator, frame))
        else:
            return
    for default in (*node.args.defaults, *(one_default for one_default in node.args.kw_defaults if one_default)):
        evaluate(machine, default, frame)
    owner = _own_class(frame) if in_class else frame.owner
    function = Function(node.name, node, home, owner, kind)
    made: Value = one(function)
    for value in reversed(decorators):
        for atom in machine.resolved(value, frame):
            if isinstance(atom, (Function, Bound, Class)):
                given = call(machine, one(atom), call_at(node), [made], [], frame)
                # What nobody knows may be the function itself.
                made = join(given, made) if UNKNOWN & given else given
            elif atom == External("atexit.register"):
                run_somehow(machine, function, frame, node)
    if node.name in frame.shared:
        names = frame.root.names
        names[node.name] = join(names.get(node.name, frozenset()), made)
    else:
        frame.names[node.name] = made
    if machine.package.survey(frame.path).annotates:
        every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        for annotation in (*(argument.annotation for argument in every), node.returns):
            if isinstance(annotation, (ast.Call, ast.Subscript)):
                evaluate(machine, annotation, frame)


def _own_class(frame: Frame) -> Class | None:
    return next((atom for atom in frame.names["(class)"] if isinstance(atom, Class)), None)


def define_class(machine: Machine, node: ast.ClassDef, frame: Frame) -> None:
    made = Class(node, frame)
    machine.bases[node] = tuple(evaluate(machine, base, frame) for base in node.bases)
    for keyword in node.keywords:
        evaluate(machine, keyword.value, frame)
    for decorator in node.decorator_list:
        evaluate(machine, decorator, frame)
    names: dict[str, Value] = {"(class)": one(made)}
    machine.class_names[node] = names
    inner = Frame(frame.module, frame.path, names, frame, frame.standing, frame.trail)
    inner.conditions = list(frame.conditions)
    machine.execute(node.body, inner)
    frame.names[node.name] = one(made)
