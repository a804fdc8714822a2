"""Pieces of Python in a patch set: read with libcst, compared with upstream's code by meaning, not by layout.

In a pattern, ``...`` stands for any expression, for any further arguments of a call, for any further elements of a
list, and, alone on a line of a block, for any statements.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import fields
from functools import cache, lru_cache

import libcst as cst

from trtllm_builder.patching.edited import Misfit
from trtllm_builder.patching.python_guard import check_python

# Layout and punctuation: what a formatter may change.
_LAYOUT = frozenset(
    (
        *("lpar", "rpar", "lbracket", "rbracket", "lbrace", "rbrace", "comma", "semicolon", "equal", "dot", "colon"),
        *("first_colon", "second_colon", "start", "end", "indent", "default_indent", "default_newline"),
        *("leading_lines", "lines_after_decorators", "header", "footer", "trailing_whitespace"),
    )
)


@lru_cache(maxsize=256)
def parse_statements(code: str) -> Sequence[cst.BaseStatement]:
    """The statements in ``code``, which may be indented as a whole. Raises ValueError."""
    text = textwrap.dedent(code).strip("\n") + "\n"
    try:
        check_python(text)
        module = cst.parse_module(text)
    except Misfit as error:
        raise ValueError(f"{error.what} (line {error.line})") from None
    except cst.ParserSyntaxError as error:
        raise ValueError(f"not valid Python: {error.message} (line {error.editor_line})") from None
    return tuple(module.visit(_EmptyLines()).body if "\n\n" in code else module.body)


@lru_cache(maxsize=256)
def parse_expression(code: str) -> cst.BaseExpression | None:
    """The expression that ``code`` is, or None."""
    text = textwrap.dedent(code).strip()
    try:
        check_python(f"({text}\n)")
        return cst.parse_expression(text)
    except (Misfit, cst.ParserSyntaxError):
        return None


@cache
def parts(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    """The fields of a kind of node that mean something; layout and punctuation are left out."""
    names = (field.name for field in fields(kind))
    return tuple(name for name in names if name not in _LAYOUT and not name.startswith("whitespace"))


def same(pattern: object, node: object, *, wild: bool) -> bool:
    """Whether ``node`` means what ``pattern`` does; ``wild`` lets ``...`` in the pattern stand for anything."""
    if isinstance(pattern, cst.BaseExpression) and isinstance(node, cst.BaseExpression):
        if wild and isinstance(pattern, cst.Ellipsis):
            return True
        texts = _text(pattern), _text(node)
        if texts != (None, None):
            return texts[0] == texts[1] and texts[0] is not None
    pattern, node = _block(pattern), _block(node)
    if isinstance(pattern, (list, tuple)) and isinstance(node, (list, tuple)):
        return same_run(pattern, node, wild=wild)
    if type(pattern) is not type(node):
        return False
    if not isinstance(pattern, cst.CSTNode):
        return bool(pattern == node)
    return all(same(getattr(pattern, name), getattr(node, name), wild=wild) for name in parts(type(pattern)))


def same_run(patterns: Sequence[object], nodes: Sequence[object], *, wild: bool) -> bool:
    """Whether the whole of ``nodes`` is what ``patterns`` say, in order."""
    if not patterns:
        return not nodes
    if wild and _any_number(patterns[0]):
        return any(same_run(patterns[1:], nodes[skip:], wild=wild) for skip in range(len(nodes) + 1))
    return bool(nodes) and same(patterns[0], nodes[0], wild=wild) and same_run(patterns[1:], nodes[1:], wild=wild)


def dotted(name: cst.BaseExpression | None) -> str:
    """``a.b.c`` of a name or attribute; empty for anything else."""
    if isinstance(name, cst.Name):
        return name.value
    if isinstance(name, cst.Attribute):
        front = dotted(name.value)
        return f"{front}.{name.attr.value}" if front else ""
    return ""


class _EmptyLines(cst.CSTTransformer):
    """Lets empty lines stay empty when the statements are set into a deeper block."""

    def leave_EmptyLine(self, original_node: cst.EmptyLine, updated_node: cst.EmptyLine) -> cst.EmptyLine:
        return updated_node if updated_node.comment else updated_node.with_changes(indent=False)


def _text(node: cst.BaseExpression) -> str | bytes | None:
    """The value of a plain string literal: 'a', "a" and "a" "" are one."""
    if isinstance(node, (cst.SimpleString, cst.ConcatenatedString)):
        return node.evaluated_value
    return None


def _block(value: object) -> object:
    # `if x: y` and its two-line form have the same body.
    if isinstance(value, cst.IndentedBlock):
        return value.body
    if isinstance(value, cst.SimpleStatementSuite):
        return [cst.SimpleStatementLine(value.body)]
    return value


def _any_number(pattern: object) -> bool:
    if isinstance(pattern, cst.SimpleStatementLine):
        return len(pattern.body) == 1 and _any_number(pattern.body[0])
    if isinstance(pattern, cst.Arg) and (pattern.keyword is not None or pattern.star):
        return False
    return isinstance(pattern, (cst.Expr, cst.Arg, cst.Element)) and isinstance(pattern.value, cst.Ellipsis)
