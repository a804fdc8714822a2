"""Functions that nothing was seen to call and that would reach MPI, or modules that nothing was seen to import.

Python has more ways to call a function than can be followed: tables of functions, wrappers of decorators, operators,
descriptors, metaclasses, hooks of other packages. Whatever the way, what is called stands in some function of a module
that was imported. So those of them that import mpi4py, or a module of the package that has not run, are followed in
the end with arguments that nobody knows; what is found so is possible, never certain.
"""

from __future__ import annotations

import ast

from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.functions import arguments
from trtllm_builder.upstream.audit.hooks import is_handed_on, is_wrapped
from trtllm_builder.upstream.audit.imports import absolute, would_import_mpi
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.model import Standing
from trtllm_builder.upstream.audit.values import UNKNOWN, Function, FunctionNode

# Called with the class itself, of which there need be no object, and which need not be named to be asked about.
_OF_CLASSES = ("__class_getitem__", "__subclasshook__", "__instancecheck__", "__subclasscheck__")
_UNSEEN = "nothing was seen that calls this function, and nothing that rules it out"


def follow_overlooked(machine: Machine) -> bool:
    """Follow the functions of this kind in the modules that have run; False when there was none."""
    found = False
    for frame in list(machine.modules.values()):
        if machine.package.parsed(frame.path) is None:
            continue
        for function, statements in machine.package.survey(frame.path).importing.items():
            if not _is_overlooked(machine, function) or not _callable(machine, function, frame):
                continue
            if any(_matters(machine, frame, one) for one in statements):
                found = True
                _follow(machine, frame, function)
    return found


def _is_overlooked(machine: Machine, node: FunctionNode) -> bool:
    """A module's own ``__getattr__`` is, whatever names it was seen to be asked for: others may ask for others."""
    asked = getattr(node, "name", "") == "__getattr__" and node not in machine.mentions.owners
    return node not in (machine.overlooked if asked else machine.followed)


def _follow(machine: Machine, frame: Frame, node: FunctionNode) -> None:
    machine.overlooked.add(node)
    name = getattr(node, "name", "lambda")
    function = Function(name, node, frame)
    caller = Frame(frame.module, frame.path, {}, frame, Standing.POSSIBLE, (*frame.trail, frame.place(node)))
    caller.conditions.append(_UNSEEN)
    machine.run(function, arguments(function, [], [(None, UNKNOWN)]), caller, node)


def _callable(machine: Machine, node: FunctionNode, frame: Frame) -> bool:
    """Whether anybody could call it in a way that was not followed."""
    if isinstance(node, ast.Lambda) or frame.module in machine.doubts.exposed:
        return True
    owner = machine.mentions.owners.get(node)
    # "keys" is what ** asks for.
    special = (node.name.startswith("__") and node.name.endswith("__")) or node.name == "keys"
    wrapped = is_wrapped(node.decorator_list)
    if owner is None:
        return special or wrapped or _named(machine, node.name)
    if node.name in _OF_CLASSES:
        return True
    known = is_handed_on(machine, owner) or _named(machine, owner.name)
    if node.name in ("__init__", "__new__"):
        return known
    if not known and not any(one.node is owner for one in machine.instantiated):
        return False
    hook = special or wrapped or bool(owner.bases or owner.keywords)
    return hook or node.name in machine.asked_for or _named(machine, node.name)


def _named(machine: Machine, name: str) -> bool:
    """Whether it is used as a value, or called by name in a function that was not followed itself."""
    if name in machine.mentions.values:
        return True
    return any(place is not None and place not in machine.followed for place in machine.mentions.calls.get(name, ()))


def _matters(machine: Machine, frame: Frame, node: ast.stmt | ast.Call) -> bool:
    """Whether it imports mpi4py, by statement or by name, or a module of the package that has not run."""
    if isinstance(node, ast.Call) or would_import_mpi(node):
        return True
    if isinstance(node, ast.Import):
        wanted = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = absolute(node, frame, machine)
        wanted = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return any(name not in machine.modules and machine.package.file_of(name) is not None for name in wanted)
