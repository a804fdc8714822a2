"""Classes that are handed to somebody when they are made, who may then make objects of them and call what they have."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from trtllm_builder.upstream.audit.attributes import line
from trtllm_builder.upstream.audit.machine import Machine
from trtllm_builder.upstream.audit.values import Class, External

# Of the standard library and torch: they give back what calls the function when it is called, and call nothing.
_HARMLESS = frozenset(
    (
        *(
            "staticmethod",
            "classmethod",
            "property",
            "cached_property",
            "abstractmethod",
            "overload",
            "override",
            "final",
        ),
        *("cache", "lru_cache", "wraps", "contextmanager", "asynccontextmanager", "no_grad", "inference_mode"),
        *("final", "dataclass", "total_ordering", "runtime_checkable", "unique"),
    )
)
_PLAIN_METACLASSES = ("ABCMeta", "abc.ABCMeta")
_MAKING = ("Enum", "Flag")
"""Bases outside the package that make objects of a class as soon as it is defined."""


def is_wrapped(decorators: Sequence[ast.expr]) -> bool:
    """Whether a decorator may call what it gets, or hand it on."""
    return any(_word(one) not in _HARMLESS for one in decorators)


def is_handed_on(machine: Machine, node: ast.ClassDef) -> bool:
    """Whether a decorator, a metaclass, or a base that hears of its subclasses, gets hold of the class."""
    if is_wrapped(node.decorator_list) or _has_metaclass(node):
        return True
    if not node.bases:
        return False
    if "__subclasses__" in machine.mentions.values or "__subclasses__" in machine.mentions.calls:
        return True
    found = machine.class_names.get(node, {}).get("(class)", frozenset())
    return any(_hears(machine, one, node) for one in found if isinstance(one, Class))


def _hears(machine: Machine, made: Class, node: ast.ClassDef) -> bool:
    for one in line(machine, made, made.home):
        names = machine.class_names.get(one.node, {})
        others = [atom for base in machine.bases.get(one.node, ()) for atom in machine.resolved(base, one.home)]
        if any(isinstance(base, External) and base.name.endswith(_MAKING) for base in others):
            return True
        if _has_metaclass(one.node) or (one.node is not node and "__init_subclass__" in names):
            return True
    return False


def _has_metaclass(node: ast.ClassDef) -> bool:
    return any(
        keyword.arg == "metaclass" and ast.unparse(keyword.value) not in _PLAIN_METACLASSES for keyword in node.keywords
    )


def _word(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).rpartition(".")[2]
