"""What ``something.name`` stands for."""

from __future__ import annotations

import ast
from collections.abc import Callable

from trtllm_builder.upstream.audit.frame import Frame
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
    Module,
    Mpi,
    Super,
    TextMethod,
    Value,
    join,
    one,
)

TEXT_AGAIN: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "strip": str.strip,
    "casefold": str.casefold,
}
"""Methods that make another text of a text."""
_OF_TEXT = ("startswith", "endswith", *TEXT_AGAIN)


def attribute(machine: Machine, value: Value, name: str, frame: Frame, node: ast.AST) -> Value:
    """The attribute of whatever the value may be."""
    return join(*(_of(machine, atom, name, frame, node) for atom in machine.resolved(value, frame)))


def _of(machine: Machine, atom: Atom, name: str, frame: Frame, node: ast.AST) -> Value:
    if isinstance(atom, Mpi):
        return one(Mpi(f"{atom.name}.{name}" if atom.name.count(".") < 4 else atom.name, atom.installed))
    if isinstance(atom, Module) and name == "__dict__":
        machine.doubts.exposed.add(atom.name)
        return UNKNOWN
    if isinstance(atom, Module):
        value = machine.look_up(atom.name, name, frame)
        return join(value, UNKNOWN) if machine.stores[name] else value
    if isinstance(atom, External):
        return one(external(machine, f"{atom.name}.{name}"))
    if isinstance(atom, Const) and isinstance(atom.value, str) and name in _OF_TEXT:
        return one(TextMethod(atom.value, name))
    if isinstance(atom, Super):
        found = [method(machine, base, name, frame) for base in bases(machine, atom.owner, frame)]
        return join(*(_bind(machine, value, atom.receiver, frame, node) for value in found if value)) or UNKNOWN
    if isinstance(atom, Class):
        given = _assigned(machine, atom, name, frame)
        found_here = method(machine, atom, name, frame)
        return join(*given, UNKNOWN if found_here is None else _bind(machine, found_here, atom, frame, node))
    if isinstance(atom, Instance) and name == "__dict__":
        machine.doubts.dynamic.add(atom.of.node)
    if isinstance(atom, Instance) and name == "__class__":
        return one(atom.of)
    value = _of_instance(machine, atom, name, frame, node) if isinstance(atom, Instance) else UNKNOWN
    fact = dict(machine.facts.attributes).get(name)
    if fact is not None and isinstance(atom, (Instance, Anything)):
        # What is assumed does not outweigh what the code itself says.
        return join(one(Const(fact)), frozenset(each for each in value if isinstance(each, Const)))
    return value


def _of_instance(machine: Machine, atom: Instance, name: str, frame: Frame, node: ast.AST) -> Value:
    known = _assigned(machine, atom.of, name, frame)
    of_class = method(machine, atom.of, name, frame)
    if of_class is not None:
        known.append(_bind(machine, of_class, atom, frame, node))
        # What a class gives as a default is for its maker to change: a dataclass, a named tuple, a model.
        if any(isinstance(value, Const) for value in of_class) and _is_filled(machine, atom.of, frame):
            known.append(UNKNOWN)
    if known:
        return join(*known)
    fallback = method(machine, atom.of, "__getattr__", frame)
    if fallback is None:
        return UNKNOWN
    results = []
    for callee in _bind(machine, fallback, atom, frame, node):
        if isinstance(callee, Bound) and isinstance(callee.function.node, ast.FunctionDef):
            names = [argument.arg for argument in callee.function.node.args.args]
            given = dict(zip(names, (one(atom), one(Const(name))), strict=False))
            results.append(machine.run(callee.function, given, frame, node))
    return join(*results) if results else UNKNOWN


def _assigned(machine: Machine, of: Class, name: str, frame: Frame) -> list[Value]:
    """What was given to the attribute by assignments that were followed, and what others may give it."""
    classes = line(machine, of, frame)
    assigned = [machine.attributes.get((one_class.node, name)) for one_class in classes]
    known = [value for value in assigned if value is not None]
    if (machine.stores[name] > 1 and known) or any(one_class.node in machine.doubts.dynamic for one_class in classes):
        known.append(UNKNOWN)
    return known


def _is_filled(machine: Machine, of: Class, frame: Frame) -> bool:
    """Whether something else than the class's own code may give its objects their attributes."""
    for one_class in line(machine, of, frame):
        others = [atom for base in machine.bases.get(one_class.node, ()) for atom in machine.resolved(base, frame)]
        strange = any(not isinstance(base, Class) and getattr(base, "name", "") not in _PLAIN for base in others)
        if strange or one_class.node.decorator_list or one_class.node.keywords:
            return True
    return False


def _bind(machine: Machine, value: Value, receiver: Instance | Class, frame: Frame, node: ast.AST) -> Value:
    """What a class's attribute becomes when it is taken from the class or an instance: methods know their receiver."""
    found: list[Value] = []
    for atom in value:
        if not isinstance(atom, Function) or atom.kind == "static" or isinstance(atom.node, ast.Lambda):
            found.append(one(atom))
        elif atom.kind == "class":
            found.append(one(Bound(atom, receiver if isinstance(receiver, Class) else receiver.of)))
        elif isinstance(receiver, Class):
            found.append(one(atom))
        elif atom.kind == "property":
            arguments = [argument.arg for argument in atom.node.args.args][:1]
            found.append(machine.run(atom, {name: one(receiver) for name in arguments}, frame, node))
        else:
            found.append(one(Bound(atom, receiver)))
    return join(*found)


def method(machine: Machine, owner: Class, name: str, frame: Frame) -> Value | None:
    """What the class or the first of its bases has under this name; None when no class that is known has it."""
    for one_class in line(machine, owner, frame):
        names = machine.class_names.get(one_class.node, {})
        if name in names:
            return names[name]
    return None


def line(machine: Machine, owner: Class, frame: Frame) -> tuple[Class, ...]:
    """The class and its known bases, in the order in which names are looked for: depth first, a base of several behind
    the last of them."""
    found: list[Class] = []
    waiting = [owner]
    while waiting and len(found) < 50:
        here = waiting.pop(0)
        found.append(here)
        waiting = [*(base for base in bases(machine, here, frame) if base is not owner), *waiting]
    return tuple(reversed(dict.fromkeys(reversed(found))))


_PLAIN = ("abc.ABC", "builtins.object", "typing.Protocol", "typing.Generic", "builtins.Exception")


def instance(machine: Machine, of: Class, frame: Frame) -> Instance:
    """An object of the class."""
    plain = True
    for one_class in line(machine, of, frame):
        names = machine.class_names.get(one_class.node, {})
        others = [atom for base in machine.bases.get(one_class.node, ()) for atom in machine.resolved(base, frame)]
        known = all(isinstance(base, Class) or (isinstance(base, External) and base.name in _PLAIN) for base in others)
        plain = plain and known and not {"__bool__", "__len__"} & set(names)
    return Instance(of, plain)


def bases(machine: Machine, owner: Class, frame: Frame) -> tuple[Class, ...]:
    """The bases that are classes of the package."""
    values = machine.bases.get(owner.node, ())
    return tuple(atom for value in values for atom in machine.resolved(value, frame) if isinstance(atom, Class))


def external(machine: Machine, name: str) -> Atom:
    """A name of another package, or what is known of it on the machine that is meant: Linux, no type checker."""
    last = name.rpartition(".")[2]
    if last == "ENABLE_MULTI_DEVICE":
        return Const(machine.facts.multi_device)
    known: dict[str, str | bool] = {"sys.platform": "linux", "os.name": "posix", "typing.TYPE_CHECKING": False}
    return Const(known[name]) if name in known else External(name)
