"""What is known of functions outside the package: imports by name, getattr, the environment, the platform."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from trtllm_builder.upstream.audit.attributes import attribute
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.functions import Keywords, escape
from trtllm_builder.upstream.audit.imports import touch
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.model import Standing
from trtllm_builder.upstream.audit.reflection import GLOBALS, ask_for_all, reflect
from trtllm_builder.upstream.audit.values import (
    UNKNOWN,
    Class,
    Const,
    External,
    Instance,
    Module,
    Mpi,
    Partial,
    Super,
    Value,
    join,
    one,
)

_IMPORTERS = ("importlib.import_module", "builtins.__import__", "importlib.__import__")
# Other ways to import by name; what they import is not followed.
_IMPORTING = ("importlib.util.module_from_spec", "importlib.machinery.", "pkgutil.resolve_name", "imp.")
_LOADERS = ("ctypes.CDLL", "ctypes.cdll.LoadLibrary", "ctypes.PyDLL")
_RUNNERS = ("builtins.exec", "builtins.eval", "runpy.run_path", "runpy.run_module")


def call_external(
    machine: Machine, name: str, node: ast.Call, positional: Sequence[Value], keywords: Keywords, frame: Frame
) -> Value:
    if name in _IMPORTERS:
        return _import(machine, node, positional, frame)
    if any(atom == External(one_name) for value in positional for atom in value for one_name in _IMPORTERS):
        machine.seen.strange(frame.place(node), f"hands an importing function to {name.removeprefix('builtins.')}")
        return UNKNOWN
    if name.startswith(_IMPORTING):
        machine.seen.strange(frame.place(node), f"imports by {name}")
        return UNKNOWN
    if name in _LOADERS and any("libmpi" in str(atom.value) for atom in _constants(positional)):
        machine.seen.touch(frame, node, "loads libmpi", installed=frame.tried_loading > 0)
        return UNKNOWN
    if name in _RUNNERS:
        machine.seen.strange(frame.place(node), f"{name.removeprefix('builtins.')} runs code that is not in a file")
        return UNKNOWN
    reflect(machine, name, node, positional, keywords, frame)
    if name in ("builtins.globals", "builtins.vars") and not positional:
        return one(External(GLOBALS))
    if name == f"{GLOBALS}.get" and positional:
        found = [frame.root.names.get(str(atom.value), UNKNOWN) for atom in _constants(positional)]
        return join(*found, *positional[1:2]) or UNKNOWN
    if name == "builtins.type" and len(positional) == 1:
        made = [one(atom.of) for atom in machine.resolved(positional[0], frame) if isinstance(atom, Instance)]
        return join(*made) or UNKNOWN
    if name == "builtins.getattr" and len(positional) >= 2:
        wanted = [atom.value for atom in machine.resolved(positional[1], frame) if isinstance(atom, Const)]
        if len(wanted) == 1 and len(positional[1]) == 1:
            return attribute(machine, positional[0], str(wanted[0]), frame, node)
        return _computed(machine, positional[0], frame, node)
    if name == "builtins.super":
        return _super(frame)
    if name in ("os.getenv", "os.environ.get", "os.environ.pop"):
        return _variable(machine, positional, frame)
    if name == "platform.system":
        return one(Const("Linux"))
    if name in ("builtins.bool", "builtins.int", "builtins.str") and len(positional) == 1:
        atoms = machine.resolved(positional[0], frame)
        atom = next(iter(atoms)) if len(atoms) == 1 else None
        return _converted(name, atom) if isinstance(atom, Const) else UNKNOWN
    if name == "functools.partial" and positional:
        escape(machine, positional[1:], keywords, frame, node)
        atoms = machine.resolved(positional[0], frame)
        return frozenset(Partial(atom, tuple(positional[1:]), tuple(keywords)) for atom in atoms)
    escape(machine, positional, keywords, frame, node)
    return UNKNOWN


def _computed(machine: Machine, value: Value, frame: Frame, node: ast.Call) -> Value:
    """An attribute whose name is computed: of an object any method, of a module of the package anything."""
    for atom in machine.resolved(value, frame):
        if isinstance(atom, Module):
            machine.seen.strange(frame.place(node), f"takes something from {atom.name} by a computed name")
        elif isinstance(atom, (Instance, Class)):
            ask_for_all(machine, atom, frame, node)
    return UNKNOWN


def _constants(positional: Sequence[Value]) -> list[Const]:
    return [atom for value in positional[:1] for atom in value if isinstance(atom, Const)]


def _converted(name: str, atom: Const) -> Value:
    kind = {"builtins.bool": bool, "builtins.int": int, "builtins.str": str}[name]
    try:
        return one(Const(kind(atom.value)))
    except (TypeError, ValueError):
        return UNKNOWN


def _variable(machine: Machine, positional: Sequence[Value], frame: Frame) -> Value:
    """An environment variable: those of the clean environment are not set, so the default is what counts."""
    names = machine.resolved(positional[0], frame) if positional else UNKNOWN
    if machine.doubts.is_unset(names, machine.facts.clean_environment):
        return positional[1] if len(positional) > 1 else one(Const(None))
    return UNKNOWN


def _super(frame: Frame) -> Value:
    first = next(iter(frame.names.values()), UNKNOWN) if frame.owner is not None else UNKNOWN
    receivers = [atom for atom in first if isinstance(atom, (Instance, Class))]
    return (
        join(*(one(Super(frame.owner, receiver)) for receiver in receivers)) if frame.owner and receivers else UNKNOWN
    )


def _import(machine: Machine, node: ast.Call, positional: Sequence[Value], frame: Frame) -> Value:
    """``import_module`` with names that are known; one whose beginning is known takes every module that fits."""
    texts = machine.resolved(positional[0], frame) if positional else UNKNOWN
    found: list[Value] = []
    for atom in texts:
        if isinstance(atom, Const) and isinstance(atom.value, str):
            found.append(_import_one(machine, _absolute(machine, atom.value, node, frame), node, frame))
        else:
            _import_some(machine, node, frame)
            found.append(UNKNOWN)
    return join(*found)


def _absolute(machine: Machine, name: str, node: ast.Call, frame: Frame) -> str:
    """What ``.name`` means: relative to the package given behind it, which usually is that of the module itself."""
    if not name.startswith("."):
        return name
    path = machine.package.file_of(frame.module) or ""
    package = frame.module if path.endswith("/__init__.py") else frame.module.rpartition(".")[0]
    given = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "package")]
    if given and isinstance(given[0], ast.Constant):
        package = str(given[0].value)
    dots = len(name) - len(name.lstrip("."))
    parts = package.split(".")[: len(package.split(".")) - dots + 1]
    return ".".join([*parts, name.lstrip(".")])


def _import_one(machine: Machine, name: str, node: ast.Call, frame: Frame) -> Value:
    if name.split(".")[0] == "mpi4py":
        touch(machine, frame, node, f"imports {name}")
        return one(Mpi(name, frame.tried > 0))
    standing = Standing.POSSIBLE if frame.conditions else frame.standing
    if machine.want(name, standing, (*frame.trail, frame.place(node))):
        return one(Module(name))
    machine.doubts.outside.setdefault(name.split(".")[0], frame.place(node))
    return one(External(name))


def _import_some(machine: Machine, node: ast.Call, frame: Frame) -> None:
    """A computed name: when it begins with a constant inside the package, all modules that begin so may be meant."""
    argument = node.args[0] if node.args else None
    prefix = ""
    if isinstance(argument, ast.BinOp) and isinstance(argument.left, ast.Constant):
        prefix = str(argument.left.value)
    if isinstance(argument, ast.JoinedStr) and argument.values:
        first = argument.values[0]
        if isinstance(first, ast.Constant):
            prefix = str(first.value)
        elif isinstance(first, ast.FormattedValue) and isinstance(first.value, ast.Name):
            prefix = frame.module + "." if first.value.id in ("__name__", "__package__") else ""
    fitting = machine.package.below(prefix) if "." in prefix else ()
    if not fitting:
        machine.seen.strange(frame.place(node), f"imports a module whose name is computed: {ast.unparse(node)[:80]}")
    for module in fitting:
        machine.want(module, Standing.POSSIBLE, (*frame.trail, frame.place(node)))
