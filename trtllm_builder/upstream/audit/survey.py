"""One look at all of a module's syntax: what it names and how, what may change later, which functions import what."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from trtllm_builder.upstream.audit.values import FunctionNode

Holder = FunctionNode | None
"""The innermost function that something stands in; None at module level."""

_NO_CALL = ("isinstance", "issubclass")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LEAVES = (ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop)
_DEEPEST = 200  # levels of syntax; beyond, a file is generated or hostile


class TooDeep(Exception):
    """Nested deeper than anything that people write."""


@dataclass
class Mentions:
    """``values``: names used other than by calling them; ``calls``: functions in which they are called by name."""

    values: set[str] = field(default_factory=set)
    calls: dict[str, set[Holder]] = field(default_factory=lambda: defaultdict(set))
    owners: dict[FunctionNode, ast.ClassDef] = field(default_factory=dict)
    """The class of each method."""

    def add(self, other: Mentions) -> None:
        self.values |= other.values
        self.owners |= other.owners
        for name, places in other.calls.items():
            self.calls[name] |= places


@dataclass
class Survey:
    """``shared`` and ``rebound``: names that functions declare global and nonlocal. ``stores`` counts the places that
    give an attribute of this name a value. What was found under such names once need not be there the next time."""

    mentions: Mentions = field(default_factory=Mentions)
    shared: set[str] = field(default_factory=set)
    rebound: set[str] = field(default_factory=set)
    stores: Counter[str] = field(default_factory=Counter)
    loops: dict[ast.AST, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Names that each loop's body gives a value."""
    annotates: bool = True
    """Whether annotations are evaluated: without ``from __future__ import annotations``."""
    listed: list[str] = field(default_factory=list)
    """All that ``__all__`` names."""
    computed: bool = False
    """Whether ``__all__`` names more than what stands there."""
    importing: dict[FunctionNode, list[ast.stmt | ast.Call]] = field(default_factory=dict)
    """Functions with the imports, and the calls that name mpi4py, that stand in them and in no function inside."""


def survey(tree: ast.Module) -> Survey:
    """Raises TooDeep. Annotations, ``isinstance`` and ``__all__`` mention nothing: nobody calls from there."""
    found = Survey()
    waiting: list[tuple[ast.AST, Holder, bool, int]] = [(tree, None, True, 0)]
    while waiting:
        node, holder, counts, depth = waiting.pop()
        if depth > _DEEPEST:
            raise TooDeep
        called: object = None
        if isinstance(node, ast.Call):
            called = node.func
            _call(found, node, holder, counts)
            counts = counts and getattr(called, "id", "") not in _NO_CALL
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if getattr(node, "module", None) == "__future__" and any(one.name == "annotations" for one in node.names):
                found.annotates = False
            if holder is not None:
                found.importing.setdefault(holder, []).append(node)
            continue
        elif counts:
            _mention(found, node)
        else:
            _store(found, node)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            stored = (one for part in node.body for one in ast.walk(part) if isinstance(one, ast.Name))
            found.loops[node] = {one.id for one in stored if isinstance(one.ctx, ast.Store)}
        inside = node if isinstance(node, _FUNCTIONS) else holder
        below = counts
        if isinstance(node, (ast.Assign, ast.AugAssign)) and _is_all(node):
            below = False
            found.listed += _texts(node)
            found.computed |= any(isinstance(one, (ast.Call, ast.ListComp, ast.GeneratorExp)) for one in ast.walk(node))
        for name in node._fields:
            value = getattr(node, name, None)
            counted = below and name not in ("annotation", "returns")
            for child in value if isinstance(value, list) else (value,):
                if child is called and isinstance(child, ast.Name):
                    continue
                if child is called and isinstance(child, ast.Attribute):
                    child = child.value
                if isinstance(child, (ast.Name, ast.Constant)):
                    # Most of all, and nothing stands in them.
                    if counted:
                        _mention(found, child)
                elif isinstance(child, ast.AST) and not isinstance(child, _LEAVES):
                    waiting.append((child, inside, counted, depth + 1))
    return found


def _call(found: Survey, node: ast.Call, holder: Holder, counts: bool) -> None:
    name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
    if name is not None and counts:
        found.mentions.calls[name].add(holder)
    if name == "setattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        found.stores[str(node.args[1].value)] += 1
    if holder is not None and any(_names_mpi(argument) for argument in node.args):
        found.importing.setdefault(holder, []).append(node)


def _names_mpi(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and (value == "mpi4py" or value.startswith("mpi4py."))


def _mention(found: Survey, node: ast.AST) -> None:
    if isinstance(node, ast.Name):
        found.mentions.values.add(node.id)
    elif isinstance(node, ast.Attribute):
        found.mentions.values.add(node.attr)
        _store(found, node)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str) and len(node.value) < 100 and node.value.isidentifier():
            found.mentions.values.add(node.value)
    elif isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.mentions.owners[inner] = node
    else:
        _store(found, node)


def _store(found: Survey, node: ast.AST) -> None:
    if isinstance(node, ast.Attribute):
        if isinstance(node.ctx, ast.Store):
            found.stores[node.attr] += 1
    elif isinstance(node, ast.Global):
        found.shared.update(node.names)
        # Defined once more in a function: which of them a call means is not known.
        found.mentions.values.update(node.names)
    elif isinstance(node, ast.Nonlocal):
        found.rebound.update(node.names)
        found.mentions.values.update(node.names)


def _is_all(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return any(getattr(target, "id", "") == "__all__" for target in node.targets)
    return isinstance(node, ast.AugAssign) and getattr(node.target, "id", "") == "__all__"


def _texts(node: ast.AST) -> list[str]:
    constants = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
    return [value for value in constants if isinstance(value, str)]
