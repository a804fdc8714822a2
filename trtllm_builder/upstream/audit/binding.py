"""What assignments do: to names, attributes and items, and to the few objects that decide what an import means."""

from __future__ import annotations

import ast

from trtllm_builder.upstream.audit.expressions import evaluate
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.reflection import GLOBALS, keys_of
from trtllm_builder.upstream.audit.values import UNKNOWN, Class, Const, External, Instance, Module, Value, join

_SEARCH = ("sys.meta_path", "sys.path_hooks", "sys.modules")


def bind(machine: Machine, target: ast.expr, value: Value, frame: Frame) -> None:
    """Give a name, an attribute or a part of something its value."""
    if isinstance(target, ast.Name) and target.id == "__path__" and frame.outer is None:
        machine.seen.strange(frame.place(target), "changes where the modules of the package are looked for")
    if isinstance(target, ast.Name):
        if target.id in frame.shared:
            names = frame.root.names
            names[target.id] = join(names.get(target.id, frozenset()), value)
        else:
            frame.names[target.id] = value
    elif isinstance(target, ast.Attribute):
        for atom in machine.resolved(evaluate(machine, target.value, frame), frame):
            if isinstance(atom, (Instance, Class)):
                owner = (atom.of if isinstance(atom, Instance) else atom).node
                machine.attributes[(owner, target.attr)] = join(
                    machine.attributes.get((owner, target.attr), frozenset()), value
                )
            elif atom == External("sys") and target.attr == "path":
                machine.doubts.moved = True
            elif isinstance(atom, External) and f"{atom.name}.{target.attr}" in _SEARCH:
                machine.seen.strange(frame.place(target), f"changes how modules are found: {atom.name}.{target.attr}")
            elif isinstance(atom, Module) and atom.name in machine.modules:
                names = machine.modules[atom.name].names
                names[target.attr] = join(names.get(target.attr, frozenset()), value)
    elif isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            bind(machine, part, UNKNOWN, frame)
    elif isinstance(target, ast.Starred):
        bind(machine, target.value, UNKNOWN, frame)
    elif isinstance(target, ast.Subscript):
        _bind_item(machine, target, value, frame)
    else:
        evaluate(machine, target, frame)


def _bind_item(machine: Machine, target: ast.Subscript, value: Value, frame: Frame) -> None:
    """``something[key] = value``: what it means for the environment, and for which modules there are."""
    owner = machine.resolved(evaluate(machine, target.value, frame), frame)
    keys = machine.resolved(evaluate(machine, target.slice, frame), frame)
    texts = {str(atom.value) if isinstance(atom, Const) else "" for atom in keys}
    if owner == {External("os.environ")}:
        machine.doubts.environment |= texts
    elif owner == {External("sys.path")}:
        machine.doubts.moved = True
    elif owner == {External(GLOBALS)}:
        names = frame.root.names
        for text in texts:
            names[text] = join(names.get(text, frozenset()), value)
    elif owner == {External("sys.modules")}:
        given = machine.resolved(value, frame)
        if any(text.split(".")[0] == "mpi4py" for text in texts):
            machine.doubts.replaced = True
            machine.seen.strange(frame.place(target), "puts something else in the place of mpi4py")
        elif any(not text or machine.package.owns(text.split(".")[0]) for text in texts) and not all(
            isinstance(atom, Module) for atom in given
        ):
            machine.seen.strange(frame.place(target), "puts something in the place of a module")


def change(machine: Machine, node: ast.AugAssign, frame: Frame) -> None:
    """``os.environ |= {...}`` and ``sys.path += [...]``."""
    what = machine.resolved(evaluate(machine, _loaded(node.target), frame), frame)
    if what == {External("os.environ")}:
        machine.doubts.environment |= keys_of(node.value)
    elif what == {External("sys.path")}:
        machine.doubts.moved = True


def _loaded(target: ast.expr) -> ast.expr:
    return ast.copy_location(ast.parse(ast.unparse(target), mode="eval").body, target)
