"""The build script as rules look at it: nodes with their parents, calls by name, what stands around a node."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import TypeAlias

from trtllm_builder.upstream.model import Flag


class Script:
    """The script's syntax tree with parents and strings at hand."""

    def __init__(self, module: ast.Module, flags: tuple[Flag, ...]) -> None:
        self.module = module
        self.flags = {spelling: flag for flag in flags for spelling in flag.spellings}
        self.nodes = list(ast.walk(module))
        self.parents = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}
        self.strings = [node for node in self.nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]

    def has(self, text: str) -> bool:
        return any(text in str(node.value) for node in self.strings)

    def texts(self) -> Iterator[tuple[int, str]]:
        """Line and source of every string as a whole: an f-string with its fields in braces, in order."""
        for node in self.nodes:
            if isinstance(self.parents.get(node), (ast.JoinedStr, ast.FormattedValue)):
                continue
            if isinstance(node, ast.JoinedStr):
                yield (
                    node.lineno,
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else f"{{{source_of(part.value)}}}"
                        for part in node.values
                        if isinstance(part, (ast.Constant, ast.FormattedValue))
                    ),
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value

    def saying(self, text: str) -> int | None:
        """The first line with a string that contains ``text``, documentation strings aside."""
        return next((line for line, said in self.texts() if text in said and "\n" not in said.strip()), None)

    def running(self, *words: str) -> int | None:
        """The first line where the script runs a command that contains all ``words``."""
        for call in self.calls("build_run"):
            if call.args and all(word in source_of(call.args[0]) for word in words):
                return call.lineno
        return None

    def calls(self, name: str) -> Iterator[ast.Call]:
        """Calls of a function or a method with this name."""
        for node in self.nodes:
            if isinstance(node, ast.Call):
                called = node.func
                if getattr(called, "id", None) == name or getattr(called, "attr", None) == name:
                    yield node

    def functions(self) -> Iterator[ast.FunctionDef]:
        return (node for node in self.nodes if isinstance(node, ast.FunctionDef))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node

    def guarded(self, node: ast.AST, about: str) -> bool:
        """Whether a ``try`` with handlers, or an ``if`` about a file or about ``about``, stands around the node."""
        inner = node
        for outer in self.around(node):
            if isinstance(outer, ast.Try) and outer.handlers and inner in outer.body:
                return True
            if isinstance(outer, ast.If) and inner is not outer.test:
                asked = source_of(outer.test)
                if about in asked or "exists()" in asked or "is_file()" in asked:
                    return True
            inner = outer
        return False


def source_of(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return ""


Rules: TypeAlias = dict[str, tuple[Callable[[Script], int | None], str]]
"""Trap id -> (the line where a script has it, or None; what it does)."""
