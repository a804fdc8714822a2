"""More of scripts/build_wheel.py: the targets it builds, and what it does to ``--extra-cmake-vars``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trtllm_builder.upstream.literals import UNKNOWN, bind, evaluate, truth
from trtllm_builder.upstream.model import ExtraCMake, Flag

_EXTRA = "extra_cmake_vars"


def read_targets(module: ast.Module, flags: tuple[Flag, ...]) -> tuple[str, ...]:
    """Targets of a default build on Linux, in order; one whose condition cannot be known beforehand is included.

    From the list named ``targets`` (0.19 on), else from the ``--target`` words of the build command (until 0.18).
    """
    known: dict[str, object] = {"on_windows": False}
    for flag in flags:
        if flag.action == "store_true":
            known[flag.long.lstrip("-").replace("-", "_")] = False
    reader = _TargetReader(known)
    try:
        for function in _functions(module):
            reader.block(function.body)
    except RecursionError:
        return tuple(dict.fromkeys(reader.targets))
    return tuple(dict.fromkeys(reader.targets or reader.command_words))


def _functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in module.body if isinstance(node, ast.FunctionDef))


class _TargetReader:
    def __init__(self, known: dict[str, object]) -> None:
        self.known = known
        self.targets: list[str] = []
        self.command_words: list[str] = []

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, ast.If):
                test = truth(statement.test, self.known)
                if test is not False:
                    self.block(statement.body)
                if test is not True:
                    self.block(statement.orelse)
            elif isinstance(statement, (ast.With, ast.Try, ast.For)):
                self.block(statement.body)
            elif isinstance(statement, ast.Assign):
                self.assign(statement.targets, statement.value)
            elif isinstance(statement, ast.AnnAssign) and statement.value:
                self.assign([statement.target], statement.value)
            elif isinstance(statement, ast.AugAssign) and _names_targets(statement.target):
                self.add(evaluate(statement.value, self.known))
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self.call(statement.value)

    def assign(self, targets: list[ast.expr], node: ast.expr) -> None:
        value = evaluate(node, self.known)
        for target in targets:
            if _names_targets(target):
                self.targets.clear()
                self.add(value)
            # What a flag or the platform decides is known already, whatever the script does to the variable.
            elif not (isinstance(target, ast.Name) and target.id in self.known and value is UNKNOWN):
                self.known.update(bind(target, value))
        self.command(node)

    def call(self, call: ast.Call) -> None:
        if isinstance(call.func, ast.Attribute) and _names_targets(call.func.value) and len(call.args) == 1:
            value = evaluate(call.args[0], self.known)
            self.add((value,) if call.func.attr == "append" else value)
        for argument in call.args:
            self.command(argument)

    def add(self, value: object) -> None:
        if isinstance(value, tuple):
            self.targets.extend(part for part in value if isinstance(part, str))

    def command(self, node: ast.expr) -> None:
        """The words after ``--target`` of an f-string; parts that are not known are left out."""
        if not isinstance(node, ast.JoinedStr):
            return
        values = [evaluate(part, self.known) for part in node.values]
        text = "".join(value if isinstance(value, str) else " " for value in values)
        before, found, after = text.partition("--target ")
        if found and "cmake --build" in before:
            self.command_words.extend(word for word in after.split() if not word.startswith("-"))


def _names_targets(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "targets"


def splits_extra(module: ast.Module) -> int | None:
    """The line where each value of ``--extra-cmake-vars`` is split on ``;``, or None."""
    for node in ast.walk(module):
        if isinstance(node, ast.For) and _mentions(node.iter, _EXTRA):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "split":
                    separator = inner.args[0] if inner.args else None
                    if isinstance(separator, ast.Constant) and separator.value == ";":
                        return inner.lineno
    return None


def extra_handling(module: ast.Module) -> tuple[ExtraCMake, int]:
    """How the values reach CMake, and the line that says so (0 when unknown)."""
    ordered = 0
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and node.args and _mentions(node.args[0], _EXTRA):
            if isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
                return "set", node.lineno
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("fromkeys", "extend"):
                ordered = ordered or node.lineno
        elif isinstance(node, ast.AugAssign) and _mentions(node.value, _EXTRA):
            ordered = ordered or node.lineno
    return ("ordered", ordered) if ordered else ("unknown", 0)


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(node))
