"""What a name may stand for: a small set of possibilities, each of which the audit knows something about."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trtllm_builder.upstream.audit.frame import Frame

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_MOST = 8  # possibilities of one name; more are one unknown


@dataclass(frozen=True)
class Const:
    """A constant that conditions can be decided with: None, a truth value, a number or a text."""

    value: bool | int | float | str | None


@dataclass(frozen=True)
class Mpi:
    """Something that comes from mpi4py: a module of it, a communicator, what a communicator's method gave."""

    name: str
    installed: bool = False
    """Its import was tried, and may have failed without harm."""


@dataclass(frozen=True)
class Absent:
    """A name that only an import of mpi4py would have bound, and that import does not run."""

    name: str


@dataclass(frozen=True)
class Late:
    """A name taken from a module of the package, looked up there when it is used."""

    module: str
    name: str


@dataclass(frozen=True)
class Module:
    """A module of the package."""

    name: str


@dataclass(frozen=True)
class External:
    """Something of another package or of the standard library, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Function:
    """A function of the package. ``home`` is the frame whose names its body sees; ``kind`` is what decorates it."""

    name: str
    node: FunctionNode
    home: Frame
    owner: Class | None = None
    kind: str = "plain"
    """plain, static, class or property."""


@dataclass(frozen=True)
class Class:
    """A class of the package. ``home`` is the frame that it was defined in."""

    node: ast.ClassDef
    home: Frame


@dataclass(frozen=True)
class Instance:
    """``plain``: neither its class nor a base decides whether it is true or how long it is, so that it is true."""

    of: Class
    plain: bool


@dataclass(frozen=True)
class Bound:
    """A method together with what it was taken from."""

    function: Function
    receiver: Instance | Class


@dataclass(frozen=True)
class Super:
    """``super()`` inside a method of ``owner``."""

    owner: Class
    receiver: Instance | Class


@dataclass(frozen=True)
class Partial:
    """``functools.partial`` of something: these arguments stand before those of the call."""

    of: Atom
    positional: tuple[Value, ...]
    keywords: tuple[tuple[str | None, Value], ...]


@dataclass(frozen=True)
class TextMethod:
    """A method of a text that is known: what it begins or ends with, or the text in lower or upper case, stripped."""

    text: str
    name: str


@dataclass(frozen=True)
class Nothing:
    """An empty ``**keywords``: asked for a key, it gives the default."""


@dataclass(frozen=True)
class Anything:
    pass


_Ours = Module | Function | Class | Instance | Bound | Super | Partial
Atom = _Ours | Const | Mpi | Absent | Late | External | TextMethod | Nothing | Anything
Value = frozenset[Atom]

UNKNOWN: Value = frozenset({Anything()})
NONE: Value = frozenset({Const(None)})


def one(atom: Atom) -> Value:
    return frozenset({atom})


def join(*values: Value) -> Value:
    """Either of them. Beyond a few possibilities, constants give way to one unknown."""
    together: Value = frozenset().union(*values)
    if len(together) > _MOST:
        together = frozenset(atom for atom in together if not isinstance(atom, Const)) | UNKNOWN
    return together


def truth(value: Value) -> bool | None:
    """Whether it is true in a condition; None when that cannot be known."""
    answers = {_true(atom) for atom in value}
    return answers.pop() if len(answers) == 1 else None


def _true(atom: Atom) -> bool | None:
    if isinstance(atom, Const):
        return bool(atom.value)
    if isinstance(atom, Nothing):
        return False
    if isinstance(atom, (Anything, Absent, External, Late, Super)):
        return None
    if isinstance(atom, Instance):
        return True if atom.plain else None
    return True


def is_none(value: Value) -> bool | None:
    """Whether it is None; None when that cannot be known."""
    answers = {_is_none(atom) for atom in value}
    return answers.pop() if len(answers) == 1 else None


def _is_none(atom: Atom) -> bool | None:
    if isinstance(atom, Const):
        return atom.value is None
    return None if isinstance(atom, (Anything, Absent, External)) else False
