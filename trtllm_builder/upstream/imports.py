"""Which modules ``import tensorrt_llm`` reaches, and what they import or do at module level without a guard."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterator

from trtllm_builder.upstream.tree import Tree

_PACKAGE = "tensorrt_llm"
_MOST = 5_000  # modules


def parse_module(tree: Tree, path: str, data: bytes | None = None) -> ast.Module | None:
    """The module's syntax tree; None when it is absent or, with a note, when it is not Python. ``data``: its bytes,
    where they were read before."""
    data = tree.read(path) if data is None else data
    if data is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(data, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        tree.note(f"{path}:{line}: this is not valid Python; it was not looked into")
        return None


def module_level(statements: list[ast.stmt], guarded: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements that run at import, each with whether an ``if`` or a ``try`` with handlers stands around it.

    Bodies of functions do not run; ``if TYPE_CHECKING`` does not either.
    """
    for statement in statements:
        yield statement, guarded
        if isinstance(statement, ast.If):
            if "TYPE_CHECKING" not in {name.id for name in ast.walk(statement.test) if isinstance(name, ast.Name)}:
                yield from module_level(statement.body, True)
            yield from module_level(statement.orelse, True)
        elif isinstance(statement, ast.Try):
            yield from module_level(statement.body, guarded or bool(statement.handlers))
            for handler in statement.handlers:
                yield from module_level(handler.body, True)
            yield from module_level(statement.orelse + statement.finalbody, guarded)
        elif isinstance(statement, (ast.With, ast.ClassDef, ast.For, ast.While)):
            yield from module_level(statement.body, guarded)


def imported(statement: ast.stmt, package: str) -> tuple[str, ...]:
    """Absolute dotted names that an import statement asks for (``from a import b`` gives ``a`` and ``a.b``).

    ``package`` is the dotted package of the module that holds the statement.
    """
    if isinstance(statement, ast.Import):
        return tuple(alias.name for alias in statement.names)
    if not isinstance(statement, ast.ImportFrom):
        return ()
    base = statement.module or ""
    if statement.level:
        parents = package.split(".")[: len(package.split(".")) - statement.level + 1]
        if not parents:
            return ()
        base = ".".join([*parents, base] if base else parents)
    return (base, *(f"{base}.{alias.name}" for alias in statement.names))


def reached(tree: Tree, known: Collection[str]) -> Iterator[tuple[str, bytes, ast.Module]]:
    """Path, bytes and syntax tree of the package's modules that importing it runs, guarded imports included.

    One at a time, so that the trees of thousands of modules never exist at once. ``known`` are the package's files.
    """
    waiting = [f"{_PACKAGE}/__init__.py", f"{_PACKAGE}/_utils.py"]
    seen: set[str] = set()
    while waiting and len(seen) < _MOST:
        path = waiting.pop()
        if path in seen or path not in known:
            continue
        seen.add(path)
        data = tree.read(path)
        module = parse_module(tree, path, data) if data is not None else None
        if data is None or module is None:
            continue
        package = path.removesuffix(".py").replace("/", ".")
        package = package.removesuffix(".__init__") if path.endswith("/__init__.py") else package.rpartition(".")[0]
        try:
            for statement, _ in module_level(module.body):
                for name in imported(statement, package):
                    waiting.extend(file for file in _files(name) if file not in seen)
        except RecursionError:
            tree.note(f"{path}: nested too deeply; what it imports is not known")
        yield path, data, module


def _files(name: str) -> Iterator[str]:
    """Files that importing a dotted name of the package may run: each parent's, and the module's own."""
    parts = name.split(".")
    if parts[0] == _PACKAGE:
        for count in range(1, len(parts) + 1):
            base = "/".join(parts[:count])
            yield f"{base}/__init__.py"
            yield f"{base}.py"
