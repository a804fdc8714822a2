"""A Python file as a tree in which nodes are found first, by identity, and replaced afterwards, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from trtllm_builder.patching.edited import Misfit
from trtllm_builder.patching.python_guard import check_python
from trtllm_builder.patching.snippets import parts

Statement = cst.BaseStatement
_NAMED = (cst.FunctionDef, cst.ClassDef)
Body = cst.Module | cst.IndentedBlock


@dataclass(frozen=True)
class Scope:
    """Where a node stands: names of the functions and classes around it, and all the nodes from the module down."""

    names: tuple[str, ...]
    above: tuple[cst.CSTNode, ...]

    def within(self, dotted: str | None) -> bool:
        wanted = tuple(dotted.split(".")) if dotted else ()
        return self.names[: len(wanted)] == wanted


@dataclass(frozen=True)
class Entry:
    """A node, where it stands, and the index of the next entry that is not inside it."""

    node: cst.CSTNode
    scope: Scope
    end: int


@dataclass
class Code:
    """A parsed file: its nodes from the outside in, and the replacements that :meth:`text` shall carry out."""

    original: str
    wrapper: MetadataWrapper
    entries: Sequence[Entry]
    runs: dict[int, tuple[int, Sequence[Statement]]] = field(default_factory=dict)
    nodes: dict[int, cst.CSTNode] = field(default_factory=dict)

    @property
    def module(self) -> cst.Module:
        return self.wrapper.module

    def line(self, node: cst.CSTNode) -> int:
        """The line, from 1, on which ``node`` begins."""
        return int(self.wrapper.resolve(PositionProvider)[node].start.line)

    def replace_run(self, first: cst.CSTNode, length: int, new: Sequence[Statement]) -> None:
        """Let ``new`` stand for ``length`` statements of one block, from ``first`` on; 0 inserts before it."""
        self.runs[id(first)] = (length, new)

    def replace_node(self, old: cst.CSTNode, new: cst.CSTNode) -> None:
        self.nodes[id(old)] = new

    def text(self) -> str:
        """The file with its replacements."""
        if not self.runs and not self.nodes:
            return self.original
        touched = {*self.runs, *self.nodes}
        above = {id(node) for entry in self.entries if id(entry.node) in touched for node in entry.scope.above}
        return self.module.visit(_Replace(self.runs, self.nodes, above)).code

    def scopes(self, dotted: str) -> list[cst.FunctionDef | cst.ClassDef]:
        """The functions and classes of this qualified name."""
        found: list[cst.FunctionDef | cst.ClassDef] = []

        def visit(node: cst.CSTNode, scope: Scope) -> bool:
            if (
                isinstance(node, (cst.FunctionDef, cst.ClassDef))
                and ".".join([*scope.names, node.name.value]) == dotted
            ):
                found.append(node)
            return True

        self.walk(visit)
        return found

    def walk(self, visit: Callable[[cst.CSTNode, Scope], bool]) -> None:
        """Call ``visit`` on every node from the outside in; False keeps it from going into that node."""
        index = 0
        while index < len(self.entries):
            entry = self.entries[index]
            index = index + 1 if visit(entry.node, entry.scope) else entry.end

    def bodies(self) -> Iterator[tuple[Body, Scope]]:
        """Every block of statements."""
        found: list[tuple[Body, Scope]] = []

        def visit(node: cst.CSTNode, scope: Scope) -> bool:
            if isinstance(node, (cst.Module, cst.IndentedBlock)):
                found.append((node, scope))
            return True

        self.walk(visit)
        return iter(found)


def parse(text: str) -> Code:
    """The tree of a file. Raises Misfit when it is not Python, or would not come back byte for byte."""
    try:
        wrapper, entries = _wrapped(text)
    except cst.ParserSyntaxError as error:
        raise Misfit(f"this is not valid Python: {error.message}", error.editor_line) from None
    except RecursionError:
        raise Misfit("this Python is nested too deep") from None
    return Code(text, wrapper, entries)


@lru_cache(maxsize=32)
def _wrapped(text: str) -> tuple[MetadataWrapper, Sequence[Entry]]:
    # Several operations look at one file, and every check looks twice; a tree is never changed.
    check_python(text)
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    if wrapper.module.code != text:
        raise Misfit("this Python does not come back from its tree as it went in")
    entries: list[Entry] = []
    _list(wrapper.module, Scope((), ()), entries)
    return wrapper, entries


def _list(node: cst.CSTNode, scope: Scope, entries: list[Entry]) -> None:
    index = len(entries)
    entries.append(Entry(node, scope, 0))
    above = (*scope.above, node)
    around = Scope(scope.names, above)
    within = Scope((*scope.names, node.name.value), above) if isinstance(node, _NAMED) else around
    for name in parts(type(node)):
        value = getattr(node, name)
        for child in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(child, cst.CSTNode):
                # Decorators, defaults and bases belong to what is around a definition.
                _list(child, within if isinstance(child, cst.BaseSuite) else around, entries)
    entries[index] = Entry(node, scope, len(entries))


class _Replace(cst.CSTTransformer):
    def __init__(
        self, runs: dict[int, tuple[int, Sequence[Statement]]], nodes: dict[int, cst.CSTNode], above: set[int]
    ) -> None:
        super().__init__()
        self.runs, self.replaced, self.above = runs, nodes, above

    def on_visit(self, node: cst.CSTNode) -> bool:
        # Most of a file is not touched, and need not be walked through.
        return id(node) in self.above

    def on_leave(self, original_node, updated_node):  # type: ignore[no-untyped-def]
        # libcst's declared return type is narrower than what it accepts.
        if id(original_node) in self.replaced:
            return self.replaced[id(original_node)]
        if isinstance(original_node, (cst.Module, cst.IndentedBlock)):
            return self._body(original_node, updated_node)
        return updated_node

    def _body(self, original: Body, updated: Body) -> Body:
        if not any(id(statement) in self.runs for statement in original.body):
            return updated
        body: list[cst.BaseStatement] = []
        skip = 0
        for old, new in zip(original.body, updated.body, strict=True):
            if id(old) in self.runs and not skip:
                length, replacement = self.runs[id(old)]
                body.extend(replacement)
                skip = length
            if skip:
                skip -= 1
            else:
                body.append(new)
        return updated.with_changes(body=body)
