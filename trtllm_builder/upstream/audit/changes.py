"""What of a module may change behind the back of whoever read it once."""

from __future__ import annotations

import ast
from collections import Counter

ANY = "*"
"""Stands for an attribute whose name is computed."""


def changes(tree: ast.AST) -> tuple[set[str], set[str], Counter[str]]:
    """Names that functions declare global, those they declare nonlocal, and how often an attribute of each name gets a
    value: what was found under them once need not be there the next time."""
    shared: set[str] = set()
    rebound: set[str] = set()
    stores: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            (shared if isinstance(node, ast.Global) else rebound).update(node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            stores[node.attr] += 1
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr" and len(node.args) > 1:
            second = node.args[1]
            # A computed name may be any.
            stores[str(second.value) if isinstance(second, ast.Constant) else ANY] += 1
    return shared, rebound, stores
