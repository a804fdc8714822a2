"""Where a module names what: by a call that can be followed, or as a value that anybody may call."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field

from trtllm_builder.upstream.audit.values import FunctionNode

Place = FunctionNode | None
"""The innermost function that a mention stands in; None at module level."""

_NO_CALL = ("isinstance", "issubclass")


@dataclass
class Mentions:
    """``values``: names used other than by calling them; ``calls``: functions in which they are called by name."""

    values: set[str] = field(default_factory=set)
    calls: dict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))
    owners: dict[FunctionNode, ast.ClassDef] = field(default_factory=dict)
    """The class of each method."""

    def add(self, other: Mentions) -> None:
        self.values |= other.values
        self.owners |= other.owners
        for name, places in other.calls.items():
            self.calls[name] |= places


def mentions_of(tree: ast.Module) -> Mentions:
    """All names of one module, but for annotations, ``isinstance`` and ``__all__``, from which nobody calls."""
    found = Mentions()
    waiting: list[tuple[ast.AST, Place]] = [(tree, None)]
    while waiting:
        node, place = waiting.pop()
        called: ast.AST | None = None
        if isinstance(node, ast.Call):
            called = node.func
            if getattr(called, "id", "") in _NO_CALL:
                waiting.extend((argument, place) for argument in node.args[:1])
                continue
            name = getattr(called, "id", None) or getattr(called, "attr", None)
            if name is not None:
                found.calls[name].add(place)
        elif isinstance(node, ast.Name):
            found.values.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.values.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.values.add(node.value)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found.owners[inner] = node
        inside = node if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) else place
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns") or _is_all(node):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.Attribute) and child is called:
                    waiting.append((child.value, inside))
                elif isinstance(child, ast.AST) and not (child is called and isinstance(child, ast.Name)):
                    waiting.append((child, inside))
    return found


def _is_all(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets)
