"""Edits of Python by structure: replace, guard, insert, and take strings out of a list."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from trtllm_builder.patching.edited import Edited, Misfit
from trtllm_builder.patching.model import PythonGuard, PythonInsert, PythonRemoveElements, PythonReplace
from trtllm_builder.patching.python_tree import Code, Scope, Statement, parse
from trtllm_builder.patching.snippets import dotted, parse_expression, parse_statements, same, same_run

# Where an expression stands alone, so that another needs no parentheses in its place.
_ALONE = (cst.If, cst.While, cst.Assign, cst.AnnAssign, cst.Return, cst.Expr, cst.Arg, cst.Element, cst.Assert)


def replace(text: str, operation: PythonReplace) -> Edited:
    """Code for code; see :class:`PythonReplace`."""
    code = _open(text, operation.in_)
    old, new = parse_expression(operation.match), parse_expression(operation.with_)
    if old is not None and new is not None:
        return _replace_expressions(code, operation, old, new)
    return _replace_runs(code, operation, parse_statements(operation.match), parse_statements(operation.with_))


def guard(text: str, operation: PythonGuard) -> Edited:
    """Statements under an ``if``; see :class:`PythonGuard`."""
    code = _open(text, operation.in_)
    pattern = parse_statements(operation.match)
    test = parse_expression(operation.condition)
    otherwise = cst.Else(cst.IndentedBlock(parse_statements(operation.otherwise))) if operation.otherwise else None
    todo = done = 0
    for body, scope in code.bodies():
        if not scope.within(operation.in_) or any(_is_guarded(node, test, pattern) for node in scope.above):
            continue
        for index, statement in enumerate(body.body):
            if _is_guarded(statement, test, pattern):
                done += 1
                continue
            run = body.body[index : index + len(pattern)]
            if same_run(pattern, run, wild=True):
                todo += 1
                block = cst.IndentedBlock([_with_lines(run[0], ()), *run[1:]])
                new = cst.If(test=test, body=block, orelse=otherwise, leading_lines=_lines(run[0]))  # type: ignore[arg-type]
                code.replace_run(statement, len(run), [new])
    return Edited(code.text(), todo, done)


def insert(text: str, operation: PythonInsert) -> Edited:
    """New statements beside others; see :class:`PythonInsert`."""
    code = _open(text, operation.in_)
    new = parse_statements(operation.code)
    if operation.at is not None and operation.in_ is not None:
        return _insert_at_start(code, operation.in_, new)
    anchor = parse_statements(operation.before or operation.after or "")
    todo = done = 0
    for body, scope in code.bodies():
        if not scope.within(operation.in_):
            continue
        for index, statement in enumerate(body.body):
            run = body.body[index : index + len(anchor)]
            if not same_run(anchor, run, wild=True):
                continue
            start = index - len(new) if operation.before else index + len(anchor)
            if start >= 0 and same_run(new, body.body[start : start + len(new)], wild=False):
                done += 1
                continue
            todo += 1
            code.replace_run(statement, len(run), [*new, *run] if operation.before else [*run, *new])
    return Edited(code.text(), todo, done)


def remove_elements(text: str, operation: PythonRemoveElements) -> Edited:
    """Strings out of the list of that name; see :class:`PythonRemoveElements`."""
    code = parse(text)
    found: list[cst.List] = []

    def visit(node: cst.CSTNode, scope: Scope) -> bool:
        if isinstance(node, cst.List) and _list_name(scope.above[-2:]) == operation.list:
            found.append(node)
        return True

    code.walk(visit)
    if not found:
        raise Misfit(f"there is no list called `{operation.list}`")
    todo = 0
    for node in found:
        kept = [element for element in node.elements if _string(element) not in operation.elements]
        removed = len(node.elements) - len(kept)
        if removed:
            todo += removed
            if kept:
                kept[-1] = kept[-1].with_changes(comma=node.elements[-1].comma)
            code.replace_node(node, node.with_changes(elements=kept))
    return Edited(code.text(), todo, 0 if todo else len(operation.elements))


def _open(text: str, name: str | None) -> Code:
    code = parse(text)
    if name is not None:
        found = len(code.scopes(name))
        if found != 1:
            raise Misfit(f"expected one function or class `{name}`, found {found or 'none'}")
    return code


def _replace_expressions(
    code: Code, operation: PythonReplace, old: cst.BaseExpression, new: cst.BaseExpression
) -> Edited:
    todo = done = 0

    def visit(node: cst.CSTNode, scope: Scope) -> bool:
        nonlocal todo, done
        if not isinstance(node, cst.BaseExpression) or not scope.within(operation.in_):
            return True
        if same(new, node, wild=False):
            done += 1
            return False
        if not same(old, node, wild=True) or (operation.containing or "") not in code.module.code_for_node(node):
            return True
        todo += 1
        bare = new.with_changes(lpar=getattr(node, "lpar", ()), rpar=getattr(node, "rpar", ()))
        if not bare.lpar and not isinstance(scope.above[-1], _ALONE) and not isinstance(new, (cst.Name, cst.Call)):
            bare = new.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        code.replace_node(node, bare)
        return False

    code.walk(visit)
    return Edited(code.text(), todo, done)


def _replace_runs(code: Code, operation: PythonReplace, old: Sequence[Statement], new: Sequence[Statement]) -> Edited:
    todo = done = 0
    finished: set[int] = set()
    for body, scope in code.bodies():
        if not scope.within(operation.in_) or any(id(node) in finished for node in scope.above):
            continue
        index = 0
        while index < len(body.body):
            made = body.body[index : index + len(new)]
            run = body.body[index : index + len(old)]
            if same_run(new, made, wild=False):
                done += 1
                finished.update(map(id, made))
                index += len(made)
            elif same_run(old, run, wild=True) and _says(code, run, operation.containing):
                todo += 1
                finished.update(map(id, run))
                code.replace_run(run[0], len(run), [_with_lines(new[0], _lines(run[0])), *new[1:]])
                index += len(run)
            else:
                index += 1
    return Edited(code.text(), todo, done)


def _insert_at_start(code: Code, name: str, new: Sequence[Statement]) -> Edited:
    body = code.scopes(name)[0].body
    if not isinstance(body, cst.IndentedBlock):
        raise Misfit(f"the body of `{name}` stands on its first line")
    first = 1 if _is_docstring(body.body[0]) else 0
    if same_run(new, body.body[first : first + len(new)], wild=False):
        return Edited(code.text(), 0, 1)
    code.replace_run(body.body[0], first, [*body.body[:first], *new])
    return Edited(code.text(), 1, 0)


def _is_guarded(node: cst.CSTNode, test: cst.BaseExpression | None, pattern: Sequence[Statement]) -> bool:
    return isinstance(node, cst.If) and same(test, node.test, wild=False) and same(pattern, node.body, wild=True)


def _says(code: Code, run: Sequence[cst.CSTNode], text: str | None) -> bool:
    return text is None or any(text in code.module.code_for_node(one) for one in run)


def _lines(statement: cst.CSTNode) -> Sequence[cst.EmptyLine]:
    return getattr(statement, "leading_lines", ())


def _with_lines(statement: Statement, lines: Sequence[cst.EmptyLine]) -> Statement:
    return statement.with_changes(leading_lines=lines)


def _is_docstring(statement: cst.CSTNode) -> bool:
    return (
        isinstance(statement, cst.SimpleStatementLine)
        and isinstance(statement.body[0], cst.Expr)
        and isinstance(statement.body[0].value, (cst.SimpleString, cst.ConcatenatedString))
    )


def _list_name(above: Sequence[cst.CSTNode]) -> str:
    """The name that a list display is given, or whose ``extend`` or ``+=`` takes it."""
    for node in above:
        if isinstance(node, cst.Assign) and len(node.targets) == 1:
            return dotted(node.targets[0].target)
        if isinstance(node, (cst.AnnAssign, cst.AugAssign)):
            return dotted(node.target)
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and node.func.attr.value == "extend":
            return dotted(node.func.value)
    return ""


def _string(element: cst.BaseElement) -> str | bytes | None:
    value = element.value
    return value.evaluated_value if isinstance(value, (cst.SimpleString, cst.ConcatenatedString)) else None
