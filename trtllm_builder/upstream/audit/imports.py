"""Import statements: what runs because of them, and what their names stand for."""

from __future__ import annotations

import ast

from trtllm_builder.upstream.audit.attributes import external
from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.model import Standing
from trtllm_builder.upstream.audit.values import External, Late, Module, Mpi, one


def bind_import(machine: Machine, node: ast.Import, frame: Frame) -> None:
    """``import a.b`` and ``import a.b as c``."""
    for alias in node.names:
        first = alias.name.split(".")[0]
        name = alias.asname or first
        whole = alias.name if alias.asname else first
        if first == "mpi4py":
            needed = " (it must be installed, but starts no MPI)" if alias.name in ("mpi4py", "mpi4py.rc") else ""
            touch(machine, frame, node, f"imports {alias.name}{needed}")
            frame.names[name] = one(Mpi(whole, frame.tried > 0))
        elif machine.package.owns(first):
            _want(machine, alias.name, node, frame)
            known = machine.package.file_of(whole) is not None
            frame.names[name] = one(Module(whole) if known else External(whole))
        else:
            machine.doubts.outside.setdefault(first, frame.place(node))
            frame.names[name] = one(External(whole))


def touch(machine: Machine, frame: Frame, node: ast.AST, what: str) -> None:
    """An import of mpi4py, unless the package has put something else in its place, which is told there."""
    if not machine.doubts.replaced:
        machine.seen.touch(frame, node, what, installed=frame.tried > 0)


def bind_import_from(machine: Machine, node: ast.ImportFrom, frame: Frame) -> None:
    """``from a import b``, relative ones and stars included."""
    base = absolute(node, frame, machine)
    first = base.split(".")[0]
    _ask_on_demand(machine, base, node, frame)
    for alias in node.names:
        name = alias.asname or alias.name
        if first == "mpi4py":
            touch(machine, frame, node, f"imports {alias.name} from {base}")
            if alias.name == "*":
                machine.seen.strange(frame.place(node), "takes all names of mpi4py")
            else:
                frame.names[name] = one(Mpi(f"{base}.{alias.name}".removeprefix("mpi4py."), frame.tried > 0))
        elif not machine.package.owns(first):
            machine.doubts.outside.setdefault(first, frame.place(node))
            frame.names[name] = one(external(machine, f"{base}.{alias.name}"))
        elif alias.name == "*":
            _star(machine, base, node, frame)
        else:
            within = _want(machine, base, node, frame)
            _want(machine, f"{base}.{alias.name}", node, frame)
            # What BuildInfo says is a fact, whatever file it stands in.
            late = within and not base.endswith("BuildInfo")
            frame.names[name] = one(Late(base, alias.name) if late else external(machine, f"{base}.{alias.name}"))


def _ask_on_demand(machine: Machine, base: str, node: ast.ImportFrom, frame: Frame) -> None:
    """``from a import b`` asks a module's own ``__getattr__``: a package's for each name that it has not, before it
    looks for a module of that name; any other module's for ``__path__``, whatever is imported."""
    path = machine.package.file_of(base)
    if path is None:
        return
    names = [alias.name for alias in node.names] if path.endswith("/__init__.py") else ["__path__"]
    asking = Frame(frame.module, frame.path, {}, frame, frame.standing, (*frame.trail, frame.place(node)))
    asking.conditions = list(frame.conditions)
    machine.postpone(lambda: machine.ask_on_demand(base, names, asking))


def absolute(node: ast.ImportFrom, frame: Frame, machine: Machine) -> str:
    """The dotted module that the statement takes from; one level too many leads nowhere."""
    if not node.level:
        return node.module or ""
    path = machine.package.file_of(frame.module) or ""
    parts = frame.module.split(".")
    up = node.level - 1 if path.endswith("/__init__.py") else node.level
    kept = parts[: len(parts) - up] if up < len(parts) else []
    return ".".join([*kept, *([node.module] if node.module else [])])


def _want(machine: Machine, module: str, node: ast.stmt, frame: Frame) -> bool:
    standing = frame.standing
    if frame.tried:
        standing = max(standing, Standing.INSTALLED)
    if frame.conditions:
        standing = Standing.POSSIBLE
    return machine.want(module, standing, (*frame.trail, frame.place(node)))


def _star(machine: Machine, base: str, node: ast.stmt, frame: Frame) -> None:
    """All public names of a module; of one that is no Python file nothing is known, which is no harm by itself."""
    if not _want(machine, base, node, frame):
        return
    found = machine.frame_of(base, frame.standing, (*frame.trail, frame.place(node)))
    if found is None:
        return
    surveyed = machine.package.survey(found.path)
    listed = surveyed.listed if "__all__" in found.names else ()
    if surveyed.computed and machine.package.below(f"{base}."):
        machine.seen.strange(frame.place(node), f"takes what {base}.__all__ computes, which may be modules")
    for name in listed:
        # What __all__ names and the module has not bound is imported as a module of its own.
        if name not in found.names:
            _want(machine, f"{base}.{name}", node, frame)
    for name in (*found.names, *listed):
        public = not name.startswith("_") or "__all__" in found.names
        if not name.startswith("(") and public:
            frame.names[name] = one(Late(base, name))


def would_import_mpi(node: ast.AST) -> tuple[str, ...]:
    """The names that this node would bind to something of mpi4py, if it is an import of it."""
    if isinstance(node, ast.Import):
        return tuple(
            alias.asname or alias.name.split(".")[0] for alias in node.names if alias.name.split(".")[0] == "mpi4py"
        )
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mpi4py" and not node.level:
        return tuple(alias.asname or alias.name for alias in node.names)
    return ()
