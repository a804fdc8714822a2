"""Edits of import statements: from elsewhere, tolerated when missing, added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import libcst as cst

from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import PythonAddImport, PythonRetargetImport, PythonTolerateImport
from trtllm_builder.patching.python_tree import Code, Scope, parse
from trtllm_builder.patching.snippets import dotted, parse_expression, parse_statements
from trtllm_builder.patching.tree import matches

_BY_NAME = ("import_module", "__import__")
_MISSING = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")


@dataclass(frozen=True)
class Import:
    """One import statement: the absolute modules it asks for, and (for ``from``) the names it takes, maybe ``*``."""

    node: cst.Import | cst.ImportFrom
    modules: tuple[str, ...]
    names: tuple[str, ...]
    scope: Scope


def imports(code: Code, path: str) -> list[Import]:
    """Every import statement of the file at ``path``, which says what relative imports mean."""
    package = PurePosixPath(path).parts[:-1]
    found: list[Import] = []

    def visit(node: cst.CSTNode, scope: Scope) -> bool:
        if isinstance(node, cst.Import):
            found.append(Import(node, tuple(dotted(alias.name) for alias in node.names), (), scope))
        elif isinstance(node, cst.ImportFrom):
            found.append(Import(node, (_module(node, package),), _taken(node), scope))
        return not isinstance(node, cst.BaseSmallStatement)

    code.walk(visit)
    return found


def at_import_time(scope: Scope) -> bool:
    """Whether a statement here runs when its file is imported: it stands in no function."""
    return not any(isinstance(node, (cst.FunctionDef, cst.Lambda)) for node in scope.above)


def retarget(text: str, path: str, operation: PythonRetargetImport) -> Edited:
    """Names taken from another module; see :class:`PythonRetargetImport`. Raises Misfit for an unknown shape."""
    code = parse(text)
    target = parse_expression(operation.to)
    todo = done = 0
    for one in imports(code, path):
        if not isinstance(one.node, cst.ImportFrom):
            continue
        if one.modules == (operation.to,):
            done += 1
        elif one.modules[0] in operation.modules and not _guarded(one, operation.guarded_by):
            strangers = set(one.names) - set(operation.modules[one.modules[0]])
            if strangers:
                what = f"`from {one.modules[0]} import {', '.join(sorted(strangers))}` is a shape that was not foreseen"
                raise Misfit(what, code.line(one.node))
            todo += 1
            code.replace_node(one.node, one.node.with_changes(module=target, relative=()))
    if not any(matches(path, pattern) for pattern in operation.scripts):
        _refuse_others(code, path, operation)
    return Edited(code.text(), todo, done)


def tolerate(text: str, path: str, operation: PythonTolerateImport) -> Edited:
    """Imports that may fail; see :class:`PythonTolerateImport`. Raises Misfit for an unknown shape."""
    code = parse(text)
    todo = done = 0
    for one in imports(code, path):
        if not at_import_time(one.scope) or not _asks_for(one, operation.module):
            continue
        if any(_catches(node) for node in one.scope.above):
            done += 1
            continue
        line = one.scope.above[-1]
        if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1 or not _alone(one, operation.module):
            raise Misfit(f"an import of {operation.module} in a shape that was not foreseen", code.line(one.node))
        todo += 1
        attempt = cst.IndentedBlock([line.with_changes(leading_lines=())])
        rest = cst.IndentedBlock(parse_statements(_instead(one)))
        handler = cst.ExceptHandler(type=cst.Name("ImportError"), body=rest)
        code.replace_run(line, 1, [cst.Try(body=attempt, handlers=[handler], leading_lines=line.leading_lines)])
    return Edited(code.text(), todo, done)


def add(text: str, path: str, operation: PythonAddImport) -> Edited:
    """One more import; see :class:`PythonAddImport`."""
    code = parse(text)
    new = parse_statements(operation.statement)
    if _bound(code, path, operation.statement):
        return Edited(text, 0, 1)
    last = None
    for statement in code.module.body:
        if _is_import(statement):
            last = statement
        elif last is not None or not _is_docstring(statement):
            break
    if last is None:
        raise Misfit("the module does not begin with imports")
    code.replace_run(last, 1, [last, *new])
    return Edited(code.text(), 1, 0)


def _refuse_others(code: Code, path: str, operation: PythonRetargetImport) -> None:
    """Raises Misfit for what imports these packages with the file in any other way, which would pass unseen."""
    packages = {module.partition(".")[0] for module in operation.modules}
    found: list[tuple[cst.CSTNode, str, Scope]] = []
    for one in imports(code, path):
        plain = isinstance(one.node, cst.Import)
        if not (isinstance(one.node, cst.ImportFrom) and one.modules[0] in operation.modules):
            found += [(one.node, module, one.scope) for module in one.modules if plain or module != operation.to]

    def visit(node: cst.CSTNode, scope: Scope) -> bool:
        if isinstance(node, cst.Call) and node.args and dotted(node.func).rpartition(".")[2] in _BY_NAME:
            value = node.args[0].value
            name = value.evaluated_value if isinstance(value, (cst.SimpleString, cst.ConcatenatedString)) else None
            if isinstance(name, str):
                found.append((node, name, scope))
        return True

    code.walk(visit)
    for node, module, scope in found:
        if module.partition(".")[0] in packages and at_import_time(scope) and not _optional(node, scope, operation):
            package = module.partition(".")[0]
            raise Misfit(f"an import of {package} in a shape this set does not know", code.line(node))


def _optional(node: cst.CSTNode, scope: Scope, operation: PythonRetargetImport) -> bool:
    chain = [*scope.above, node]
    return any(_only_if(chain, name) for name in (operation.guarded_by, "TYPE_CHECKING")) or any(
        _catches(above) and below is above.body for above, below in pairwise(chain) if isinstance(above, cst.Try)
    )


def _module(node: cst.ImportFrom, package: Sequence[str]) -> str:
    name = dotted(node.module)
    if not node.relative:
        return name
    base = package[: len(package) - len(node.relative) + 1]
    return ".".join([*base, *([name] if name else [])])


def _taken(node: cst.ImportFrom) -> tuple[str, ...]:
    return ("*",) if isinstance(node.names, cst.ImportStar) else tuple(dotted(alias.name) for alias in node.names)


def _guarded(one: Import, name: str | None) -> bool:
    """Whether the import runs only where ``name`` is true: it stands in the body of an ``if`` that asks for it."""
    return _only_if([*one.scope.above, one.node], name)


def _only_if(chain: Sequence[cst.CSTNode], name: str | None) -> bool:
    for above, below in pairwise(chain):
        if isinstance(above, cst.If) and below is above.body and name in _words(above.test):
            return True
    return False


def _words(test: cst.BaseExpression) -> set[str]:
    """The names that have to be true for ``test`` to be true."""
    if isinstance(test, (cst.Name, cst.Attribute)):
        return {dotted(test).rpartition(".")[2]}
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return _words(test.left) | _words(test.right)
    return set()


def _asks_for(one: Import, module: str) -> bool:
    parent, _, name = module.rpartition(".")
    if isinstance(one.node, cst.ImportFrom) and one.modules == (parent,) and name in one.names:
        return True
    return any(asked == module or asked.startswith(module + ".") for asked in one.modules)


def _alone(one: Import, module: str) -> bool:
    """Whether the statement asks for nothing else, so that nothing else is lost with it."""
    if isinstance(one.node, cst.Import):
        return len(one.modules) == 1
    parent, _, name = module.rpartition(".")
    return "*" not in one.names and (one.modules != (parent,) or one.names == (name,))


def _instead(one: Import) -> str:
    """What binds the statement's names when it failed."""
    if isinstance(one.node.names, cst.ImportStar):
        raise AssertionError("a star import is not alone")
    bound = [
        dotted(alias.asname.name) if alias.asname else dotted(alias.name)
        for alias in one.node.names
        if alias.asname is not None or isinstance(one.node, cst.ImportFrom)
    ]
    return "\n".join(f"{name} = None" for name in bound) or "pass"


def _catches(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Try):
        return False
    for handler in node.handlers:
        types = handler.type.elements if isinstance(handler.type, cst.Tuple) else [handler]
        names = [dotted(one.value if isinstance(one, cst.BaseElement) else one.type) for one in types]
        if handler.type is None or any(name in _MISSING for name in names):
            return True
    return False


def _bound(code: Code, path: str, statement: str) -> bool:
    have = [one for one in imports(code, path) if len(one.scope.above) == 2]
    return all(
        any(one.modules == other.modules and set(one.names) <= set(other.names) for other in have)
        for one in imports(parse(statement.strip() + "\n"), path)
    )


def _is_import(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and all(
        isinstance(one, (cst.Import, cst.ImportFrom)) for one in statement.body
    )


def _is_docstring(statement: cst.CSTNode) -> bool:
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and isinstance(statement.body[0], cst.Expr)
        and isinstance(statement.body[0].value, (cst.SimpleString, cst.ConcatenatedString))
    )
