"""Names that are reached by other means than by naming them: ``vars``, ``getmembers``, ``setattr``, the environment."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.functions import Keywords
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.values import Class, Const, External, Instance, Module, Value, join

GLOBALS = "builtins.globals()"
"""The dictionary of a module's names."""
_LOOKERS = ("builtins.vars", "inspect.getmembers")
_GOING_THROUGH = tuple(f"{GLOBALS}.{word}" for word in ("items", "values", "copy", "get", "pop", "update"))


_PROGRAMS = (
    "subprocess.",
    "os.system",
    "os.popen",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "asyncio.create_subprocess",
)
_FINDERS = ("sys.meta_path.", "sys.path_hooks.", "sys.modules.update", "sys.modules.setdefault")


def reflect(
    machine: Machine, name: str, node: ast.Call, positional: Sequence[Value], keywords: Keywords, frame: Frame
) -> None:
    """What a call of something outside the package does to names, modules and variables."""
    if name.startswith(_FINDERS):
        machine.seen.strange(frame.place(node), f"changes how modules are found: {name}")
    elif name.startswith("builtins.__path__."):
        machine.seen.strange(frame.place(node), "changes where the modules of the package are looked for")
    elif name.startswith("sys.path.") or name == "site.addsitedir":
        machine.doubts.moved = True
    elif name.startswith(_PROGRAMS) and "mpi" in ast.unparse(node).lower():
        machine.seen.strange(frame.place(node), f"{name} runs a program with a word that names MPI")
    elif name in ("builtins.setattr", "builtins.object.__setattr__") and len(positional) == 3:
        _set(machine, positional, frame)
    elif name.startswith("os.environ.") or name == "os.putenv":
        _note_environment(machine, name, node, positional, keywords)
    elif name in _LOOKERS or name in _GOING_THROUGH or any(value == {External(GLOBALS)} for value in positional):
        _look_through(machine, name, positional, frame, node)


def ask_for_all(machine: Machine, atom: Instance | Class, frame: Frame, node: ast.AST) -> None:
    """Any method of the class may be called."""
    owner = atom.of if isinstance(atom, Instance) else atom
    for name in machine.class_names.get(owner.node, {}):
        machine.asked_for.setdefault(name, (*frame.trail, frame.place(node)))


def _look_through(machine: Machine, name: str, positional: Sequence[Value], frame: Frame, node: ast.AST) -> None:
    """Somebody goes through all names of a module or a class, and may call what is there."""
    if name in _GOING_THROUGH and not (positional and all(isinstance(atom, Const) for atom in positional[0])):
        machine.doubts.exposed.add(frame.root.module)
    for atom in machine.resolved(positional[0], frame) if positional else ():
        if atom == External(GLOBALS):
            machine.doubts.exposed.add(frame.root.module)
        elif isinstance(atom, Module):
            machine.doubts.exposed.add(atom.name)
        elif isinstance(atom, (Instance, Class)):
            ask_for_all(machine, atom, frame, node)
            machine.doubts.dynamic.add((atom.of if isinstance(atom, Instance) else atom).node)


def _set(machine: Machine, positional: Sequence[Value], frame: Frame) -> None:
    """``setattr(object, name, value)``."""
    of, names, value = positional
    for atom in machine.resolved(of, frame):
        if not isinstance(atom, (Instance, Class)):
            continue
        owner = (atom.of if isinstance(atom, Instance) else atom).node
        for name in machine.resolved(names, frame):
            if isinstance(name, Const):
                key = (owner, str(name.value))
                machine.attributes[key] = join(machine.attributes.get(key, frozenset()), value)
            else:
                machine.doubts.dynamic.add(owner)


def _note_environment(
    machine: Machine, name: str, node: ast.Call, positional: Sequence[Value], keywords: Keywords
) -> None:
    """Which variables ``os.environ.setdefault``, ``update`` and ``os.putenv`` set."""
    word = name.rpartition(".")[2]
    if word == "update":
        first = node.args[0] if node.args else None
        machine.doubts.environment |= {key for key, _value in keywords if key}
        if first is not None:
            machine.doubts.environment |= keys_of(first)
    elif word in ("setdefault", "putenv") and positional:
        texts = {atom.value if isinstance(atom, Const) else "" for atom in positional[0]}
        machine.doubts.environment |= {str(text) for text in texts}


def keys_of(node: ast.expr) -> set[str]:
    """The keys of a dictionary that stands there; an empty one for any that is not known."""
    keys = node.keys if isinstance(node, ast.Dict) else [None]
    return {str(key.value) if isinstance(key, ast.Constant) else "" for key in keys}
