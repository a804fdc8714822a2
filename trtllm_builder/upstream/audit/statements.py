"""Statements over abstract values: what runs, what is bound, which branch is dead."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from trtllm_builder.upstream.audit.attributes import attribute
from trtllm_builder.upstream.audit.binding import bind, change
from trtllm_builder.upstream.audit.calls import call, call_at
from trtllm_builder.upstream.audit.comparisons import literals
from trtllm_builder.upstream.audit.definitions import define_class, define_function
from trtllm_builder.upstream.audit.expressions import decide, evaluate
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.imports import bind_import, bind_import_from, would_import_mpi
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.model import Place
from trtllm_builder.upstream.audit.values import (
    UNKNOWN,
    Absent,
    Const,
    Instance,
    Value,
    join,
    one,
)

_MOST_WORK = 3_000_000  # names copied at branches that nothing decides
_CATCHES_ALL = ("Exception", "BaseException")
_CATCHES_IMPORT = ("ImportError", "ModuleNotFoundError", *_CATCHES_ALL)
_CATCHES_LOADING = ("OSError", "EnvironmentError", "IOError", *_CATCHES_ALL)


def execute(machine: Machine, body: list[ast.stmt], frame: Frame) -> bool:
    """Follow the statements; False when none of them lets the next one after the block run."""
    for statement in body:
        handler = _HANDLERS.get(type(statement))
        if handler is None:
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.expr):
                    evaluate(machine, child, frame)
        elif handler(machine, statement, frame) is False:
            return False
    return True


def _if(machine: Machine, node: ast.If, frame: Frame) -> bool:
    answer = decide(machine, node.test, frame)
    if answer is not None:
        dead = node.orelse if answer else node.body
        _dead(machine, dead, node, answer, frame)
        return execute(machine, node.body if answer else node.orelse, frame)
    condition = ast.unparse(node.test)
    frame.conditions.append(condition if len(condition) <= 80 else condition[:77] + "...")
    try:
        return _either(machine, frame, [node.body, node.orelse])
    finally:
        frame.conditions.pop()


def _dead(machine: Machine, body: list[ast.stmt], node: ast.If, answer: bool, frame: Frame) -> None:
    """What the branch would have imported from mpi4py is guarded, and its names are absent."""
    condition = ast.unparse(node.test)[:80]
    for statement in body:
        for inner in ast.walk(statement):
            names = would_import_mpi(inner)
            if names:
                machine.seen.guard(frame, inner, "imports mpi4py", f"{'not ' if answer else ''}{condition}")
                for name in names:
                    frame.names.setdefault(name, one(Absent(f"mpi4py's {name}")))


def _either(machine: Machine, frame: Frame, bodies: list[list[ast.stmt]]) -> bool:
    """Follow each body from here; afterwards a name may be what any of those that go on made of it."""
    before = dict(frame.names)
    machine.work += len(before)
    if machine.work > _MOST_WORK:
        machine.seen.strange(Place(frame.path, 1), "this file decides too much to be followed to its end")
        return True
    after: list[dict[str, Value]] = []
    for body in bodies:
        frame.names.clear()
        frame.names.update(before)
        if execute(machine, body, frame):
            after.append(dict(frame.names))
    _merge(frame, after or [before])
    return bool(after)


def _merge(frame: Frame, states: list[dict[str, Value]]) -> None:
    merged: dict[str, Value] = {}
    for name in {name: None for state in states for name in state}:
        merged[name] = join(*(state[name] for state in states if name in state))
    frame.names.clear()
    frame.names.update(merged)


def _try(machine: Machine, node: ast.Try, frame: Frame) -> bool:
    catches = any(_catches(handler.type) for handler in node.handlers)
    catches_loading = any(_catches(handler.type, _CATCHES_LOADING) for handler in node.handlers)
    before = dict(frame.names)
    frame.tried += catches
    frame.tried_loading += catches_loading
    try:
        through = execute(machine, node.body, frame)
    finally:
        frame.tried -= catches
        frame.tried_loading -= catches_loading
    if through:
        if catches:
            frame.conditions.append("nothing was raised")
        through = execute(machine, node.orelse, frame)
        if catches:
            frame.conditions.pop()
    states = [dict(frame.names)] if through else []
    for handler in node.handlers:
        # It runs when the body failed somewhere: with the names of before or of after.
        _merge(frame, [before, dict(frame.names)])
        if handler.name:
            frame.names[handler.name] = UNKNOWN
        frame.conditions.append(f"except {ast.unparse(handler.type) if handler.type else ''}".strip())
        try:
            if execute(machine, handler.body, frame):
                states.append(dict(frame.names))
        finally:
            frame.conditions.pop()
    _merge(frame, states or [before])
    return execute(machine, node.finalbody, frame) and bool(states)


def _catches(kind: ast.expr | None, names: tuple[str, ...] = _CATCHES_IMPORT) -> bool:
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(isinstance(one_kind, ast.Name) and one_kind.id in names for one_kind in kinds)


def _each(machine: Machine, node: ast.expr, frame: Frame) -> Value:
    """What a loop's name stands for: any of the constants of a list that stands there."""
    listed = literals(node)
    if not listed:
        return UNKNOWN
    return join(*(one(Const(each)) if isinstance(each, (bool, int, float, str)) else UNKNOWN for each in listed))


def _loop(machine: Machine, node: ast.For | ast.AsyncFor | ast.While, frame: Frame) -> bool:
    before = dict(frame.names)
    # The second time round a name may be what the first time made of it; the first test is still that of before.
    changed = {name for name in machine.package.survey(frame.path).loops.get(node, ()) if name in before}
    answer: bool | None = None
    if isinstance(node, ast.While):
        answer = decide(machine, node.test, frame)
    else:
        evaluate(machine, node.iter, frame)
        bind(machine, node.target, _each(machine, node.iter, frame), frame)
    for name in changed:
        frame.names[name] = join(frame.names[name], UNKNOWN)
    outside, frame.jumps = frame.jumps, []
    through = execute(machine, node.body, frame) if answer is not False else True
    after = [before, *frame.jumps, *([dict(frame.names)] if through else [])]
    frame.jumps = outside
    _merge(frame, after)
    execute(machine, node.orelse, frame)
    return True


def _jump(machine: Machine, node: ast.stmt, frame: Frame) -> bool:
    frame.jumps.append(dict(frame.names))
    return False


def _with(machine: Machine, node: ast.With | ast.AsyncWith, frame: Frame) -> bool:
    suppressed = 0
    for item in node.items:
        value = machine.resolved(evaluate(machine, item.context_expr, frame), frame)
        entered = UNKNOWN
        for atom in value:
            if isinstance(atom, Instance):
                for name in ("__enter__", "__exit__"):
                    for callee in attribute(machine, one(atom), name, frame, node):
                        found = call(machine, one(callee), call_at(node), [], [], frame)
                        entered = found if name == "__enter__" else entered
        if item.optional_vars is not None:
            bind(machine, item.optional_vars, entered, frame)
        suppressed += _suppresses(item.context_expr)
    frame.tried += suppressed
    try:
        return execute(machine, node.body, frame)
    finally:
        frame.tried -= suppressed


def _suppresses(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("suppress", "contextlib.suppress"):
        return False
    return any(_catches(argument) for argument in node.args)


def _assign(machine: Machine, node: ast.Assign, frame: Frame) -> None:
    value = evaluate(machine, node.value, frame)
    for target in node.targets:
        if (
            isinstance(target, (ast.Tuple, ast.List))
            and isinstance(node.value, (ast.Tuple, ast.List))
            and len(target.elts) == len(node.value.elts)
        ):
            for part, given in zip(target.elts, node.value.elts, strict=True):
                bind(machine, part, evaluate(machine, given, frame), frame)
        else:
            bind(machine, target, value, frame)


def _annotated(machine: Machine, node: ast.AnnAssign, frame: Frame) -> None:
    if machine.package.survey(frame.path).annotates and isinstance(node.annotation, (ast.Call, ast.Subscript)):
        evaluate(machine, node.annotation, frame)
    if node.value is not None:
        bind(machine, node.target, evaluate(machine, node.value, frame), frame)


def _augmented(machine: Machine, node: ast.AugAssign, frame: Frame) -> None:
    evaluate(machine, node.value, frame)
    change(machine, node, frame)
    bind(machine, node.target, UNKNOWN, frame)


def _return(machine: Machine, node: ast.Return, frame: Frame) -> bool:
    frame.results.append(one(Const(None)) if node.value is None else evaluate(machine, node.value, frame))
    return False


def _assert(machine: Machine, node: ast.Assert, frame: Frame) -> None:
    if decide(machine, node.test, frame) is not True and node.msg is not None:
        evaluate(machine, node.msg, frame)


def _raise(machine: Machine, node: ast.Raise, frame: Frame) -> bool:
    if node.exc is not None:
        evaluate(machine, node.exc, frame)
    return False


def _global(machine: Machine, node: ast.Global | ast.Nonlocal, frame: Frame) -> None:
    if isinstance(node, ast.Global):
        frame.shared |= set(node.names)


def _match(machine: Machine, node: Any, frame: Frame) -> bool:
    evaluate(machine, node.subject, frame)
    frame.conditions.append(f"match {ast.unparse(node.subject)[:60]}")
    try:
        for case in node.cases:
            if case.guard is not None:
                evaluate(machine, case.guard, frame)
        return _either(machine, frame, [*(case.body for case in node.cases), []])
    finally:
        frame.conditions.pop()


_HANDLERS: dict[type[ast.stmt], Callable[[Machine, Any, Frame], bool | None]] = {
    ast.If: _if,
    ast.Try: _try,
    # Python 3.11 and later: except*.
    getattr(ast, "TryStar", ast.Try): _try,
    ast.For: _loop,
    ast.AsyncFor: _loop,
    ast.While: _loop,
    ast.Break: _jump,
    ast.Continue: _jump,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.FunctionDef: define_function,
    ast.AsyncFunctionDef: define_function,
    ast.ClassDef: define_class,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Assert: _assert,
    ast.Global: _global,
    ast.Nonlocal: _global,
    ast.Match: _match,
    ast.Import: bind_import,
    ast.ImportFrom: bind_import_from,
}
