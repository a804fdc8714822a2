"""MPI that importing upstream's package runs into, and MPI calls that no ENABLE_MULTI_DEVICE guards."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trtllm_builder.upstream.imports import imported, module_level
from trtllm_builder.upstream.model import Trap
from trtllm_builder.upstream.script_view import source_of

_GUARD = "ENABLE_MULTI_DEVICE"
# Methods of a communicator that talk to other processes, by mpi4py's names.
_TALKING = frozenset({"Barrier", "bcast", "allgather", "Isend", "Send", "Recv", "send", "isend", "recv"})


def find_mpi_traps(path: str, data: bytes, module: ast.Module) -> Iterator[Trap]:
    """One trap of a kind for a module that importing the package runs. RecursionError: it is nested too deeply."""
    if b"mpi" in data or b"Split" in data or b"COMM_WORLD" in data:
        for rule in (_imports_mpi4py, _before_build_info, _splits, _global_communicator, _unguarded_calls):
            yield from _first(rule(path, module))


def _first(traps: Iterator[Trap]) -> Iterator[Trap]:
    for trap in traps:
        yield trap
        return


def _imports_mpi4py(path: str, module: ast.Module) -> Iterator[Trap]:
    for statement, guarded in module_level(module.body):
        if not guarded and _wants_mpi4py(statement):
            what = "imports mpi4py whenever tensorrt_llm is imported; without MPI that fails or hangs"
            yield Trap("import-mpi4py", path, statement.lineno, what)


def _before_build_info(path: str, module: ast.Module) -> Iterator[Trap]:
    """The order matters to patches: a guard that stands where the import stands reads a name that is not there yet."""
    first: int | None = None
    for statement, guarded in module_level(module.body):
        if not guarded and _wants_mpi4py(statement):
            first = first or statement.lineno
        elif isinstance(statement, ast.ImportFrom) and _GUARD in {alias.name for alias in statement.names} and first:
            what = f"imports mpi4py before {_GUARD} is known, so that no condition can stand there as it is"
            yield Trap("mpi4py-before-build-info", path, first, what)


def _wants_mpi4py(statement: ast.stmt) -> bool:
    return any(name.split(".")[0] == "mpi4py" for name in imported(statement, ""))


def _splits(path: str, module: ast.Module) -> Iterator[Trap]:
    for line, node in _evaluated(module):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("Split", "Split_type"):
            what = "splits an MPI communicator whenever tensorrt_llm is imported: that hangs in plain containers"
            yield Trap("import-splits-communicator", path, line, what)


def _global_communicator(path: str, module: ast.Module) -> Iterator[Trap]:
    for line, node in _evaluated(module):
        if isinstance(node, ast.Attribute) and node.attr == "COMM_WORLD":
            what = "makes a communicator whenever tensorrt_llm is imported, which needs MPI to be initialised"
            yield Trap("import-makes-communicator", path, line, what)


def _evaluated(module: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """Nodes of expressions that importing evaluates for certain, with their statement's line."""
    for statement, guarded in module_level(module.body):
        if guarded or not isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr)):
            continue
        waiting: list[ast.AST] = [statement]
        while waiting:
            node = waiting.pop()
            # What runs only under a condition, or later, is guarded.
            if not isinstance(node, (ast.IfExp, ast.BoolOp, ast.Lambda)):
                waiting.extend(ast.iter_child_nodes(node))
            yield statement.lineno, node


def _unguarded_calls(path: str, module: ast.Module) -> Iterator[Trap]:
    for function in module.body:
        if not isinstance(function, ast.FunctionDef) or "mpi" not in function.name:
            continue
        text = source_of(function)
        if _GUARD in text or "_size() > 1" in text:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _TALKING:
                what = f"{function.name} talks MPI whatever {_GUARD} says: the first call fails or hangs"
                yield Trap("unguarded-mpi-call", path, node.lineno, what)
