"""Reads upstream's scripts/build_wheel.py as a syntax tree: its flags. It is never imported or run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Any

from trtllm_builder.errors import SourceError, Where
from trtllm_builder.upstream.literals import UNKNOWN, bind, evaluate
from trtllm_builder.upstream.model import Flag

PATH = "scripts/build_wheel.py"

# argparse, "action": these take no value; all others take one unless nargs says otherwise.
_NO_VALUE = frozenset({"store_true", "store_false", "store_const", "append_const", "count", "help", "version"})
_MOST = 2_000  # flags; a loop over more literals than that is not a build script's
_DEEPEST = 5  # helper functions that call helper functions


def parse_python(data: bytes, path: str) -> ast.Module:
    """Raises SourceError with the line when the bytes are not Python."""
    try:
        with warnings.catch_warnings():
            # Upstream's own escapes such as "\$" are not our concern.
            warnings.simplefilter("ignore")
            return ast.parse(data, path)
    except SyntaxError as error:
        where = Where(path, error.lineno or 1, error.offset or 1)
        raise SourceError(f"this is not valid Python: {error.msg}", where=where, remedy=_REMEDY) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SourceError(
            f"this cannot be read as Python: {error or 'nested too deeply'}", where=Where(path), remedy=_REMEDY
        ) from None


_REMEDY = "check that the checkout is whole (git status), or fetch it again"


def read_flags(module: ast.Module) -> tuple[tuple[Flag, ...], tuple[str, ...]]:
    """(flags in order of registration, notes on those whose names are computed and so are not known).

    Follows ``add_argument`` on any object, aliases of it, literal loops, and helper functions called with literals.
    """
    reader = _FlagReader(module)
    try:
        reader.block(module.body, {}, 0)
    except RecursionError:
        return tuple(reader.flags.values()), (f"{PATH}: nested too deeply; flags may be missing",)
    return tuple(reader.flags.values()), tuple(reader.notes)


class _FlagReader:
    def __init__(self, module: ast.Module) -> None:
        self.flags: dict[tuple[str, ...], Flag] = {}
        self.notes: dict[str, None] = {}
        self.helpers: dict[str, ast.FunctionDef | ast.Lambda] = {}
        self.aliases: set[str] = set()
        self._budget = _MOST
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and _registers_by_parameter(node):
                self.helpers[node.name] = node

    def block(self, statements: list[ast.stmt], known: dict[str, object], depth: int) -> None:
        """Statements in order; ``known`` grows by the literals they assign."""
        for statement in statements:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if statement.name not in self.helpers:
                    self.block(statement.body, dict(known), depth)
                continue
            if isinstance(statement, ast.ClassDef):
                self.block(statement.body, dict(known), depth)
                continue
            if isinstance(statement, ast.For):
                self.loop(statement, known, depth)
                continue
            for call in _calls(statement):
                self.call(call, known, depth)
            self.assign(statement, known)
            for part in ("body", "orelse", "finalbody"):
                self.block(getattr(statement, part, None) or [], known, depth)
            for handler in getattr(statement, "handlers", None) or []:
                self.block(handler.body, known, depth)

    def loop(self, statement: ast.For, known: dict[str, object], depth: int) -> None:
        values = evaluate(statement.iter, known)
        for value in values if isinstance(values, tuple) else (UNKNOWN,):
            self._budget -= 1
            if self._budget < 0:
                self.notes[f"{PATH}:{statement.lineno}: too many loop values; flags may be missing"] = None
                return
            known.update(bind(statement.target, value))
            self.block(statement.body, known, depth)
        self.block(statement.orelse, known, depth)

    def assign(self, statement: ast.stmt, known: dict[str, object]) -> None:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and _is_add_argument(statement.value, self.aliases):
                    self.aliases.add(target.id)
                known.update(bind(target, evaluate(statement.value, known)))
        elif isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
            known[statement.target.id] = evaluate(statement.value, known)

    def call(self, call: ast.Call, known: dict[str, object], depth: int) -> None:
        if _is_add_argument(call.func, self.aliases):
            self.register(call, known)
        elif isinstance(call.func, ast.Name) and call.func.id in self.helpers and depth < _DEEPEST:
            helper = self.helpers[call.func.id]
            if isinstance(helper, ast.FunctionDef):
                self.block(helper.body, {**known, **_bound(helper.args, call, known)}, depth + 1)

    def register(self, call: ast.Call, known: dict[str, object]) -> None:
        names = evaluate(ast.Tuple(elts=call.args, ctx=ast.Load()), known)
        if not isinstance(names, tuple) or not names or not all(isinstance(name, str) for name in names):
            self.notes[f"{PATH}:{call.lineno}: a flag's name is computed; it is not known"] = None
            return
        spellings = tuple(str(name) for name in names)
        if not spellings[0].startswith("-"):
            self.notes[f"{PATH}:{call.lineno}: takes a positional argument {spellings[0]!r}"] = None
            return
        flag = _flag(spellings, _keywords(call, known), call.lineno)
        self.flags.setdefault(flag.spellings, flag)


def _registers_by_parameter(function: ast.FunctionDef) -> bool:
    """Whether the function calls ``add_argument`` with names that come from its own parameters."""
    arguments = function.args
    names = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names |= {argument.arg for argument in (arguments.vararg,) if argument}
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and _is_add_argument(node.func, set()):
            used = {inner.id for argument in node.args for inner in ast.walk(argument) if isinstance(inner, ast.Name)}
            if used & names:
                return True
    return False


def _is_add_argument(node: ast.expr, aliases: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "add_argument"
    return isinstance(node, ast.Name) and node.id in aliases


def _calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """Calls in the statement's own expressions, outermost last, not those of statements nested in it."""
    waiting: list[ast.AST] = [node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.expr)]
    found = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            found.append(node)
        waiting.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt))
    return iter(sorted(found, key=lambda call: (call.lineno, call.col_offset)))


def _bound(arguments: ast.arguments, call: ast.Call, known: dict[str, object]) -> dict[str, object]:
    """The helper's parameters with the literals of this call; ``*names`` and ``**options`` are bound as they are."""
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    everything = (*positional, *(argument.arg for argument in arguments.kwonlyargs))
    bound: dict[str, object] = dict.fromkeys(everything, UNKNOWN)
    for name, default in zip(reversed(positional), reversed(arguments.defaults), strict=False):
        bound[name] = evaluate(default, known)
    for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if value is not None:
            bound[argument.arg] = evaluate(value, known)
    values = evaluate(ast.Tuple(elts=call.args, ctx=ast.Load()), known)
    given = values if isinstance(values, tuple) else ()
    bound.update(zip(positional, given, strict=False))
    if arguments.vararg:
        bound[arguments.vararg.arg] = tuple(given[len(positional) :])
    extra: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg in bound:
            bound[keyword.arg] = evaluate(keyword.value, known)
        elif keyword.arg:
            extra[keyword.arg] = keyword.value
    if arguments.kwarg:
        bound[arguments.kwarg.arg] = extra
    return bound


def _keywords(call: ast.Call, known: dict[str, object]) -> dict[str, tuple[object, str]]:
    """Keyword -> (value or UNKNOWN, source text); ``**options`` bound by a helper call are spread."""
    found: dict[str, tuple[object, str]] = {}
    for keyword in call.keywords:
        if keyword.arg:
            found[keyword.arg] = (evaluate(keyword.value, known), ast.unparse(keyword.value))
        elif isinstance(keyword.value, ast.Name) and isinstance(spread := known.get(keyword.value.id), dict):
            for name, node in spread.items():
                found[name] = (evaluate(node, known), ast.unparse(node))
    return found


def _flag(spellings: tuple[str, ...], keywords: dict[str, tuple[object, str]], line: int) -> Flag:
    action_value, action_text = keywords.get("action", ("store", "store"))
    action = action_value if isinstance(action_value, str) else action_text.rpartition(".")[2]
    nargs = keywords.get("nargs", (None, ""))[0]
    if action == "BooleanOptionalAction":
        negated = tuple(f"--no-{name[2:]}" for name in spellings if name.startswith("--"))
        spellings, arity = (*spellings, *negated), "0"
    elif isinstance(nargs, (str, int)):
        arity = str(nargs)
    elif nargs is UNKNOWN:
        arity = keywords["nargs"][1].rpartition(".")[2]
    else:
        arity = "0" if action in _NO_VALUE else "1"
    choices = keywords.get("choices", ((), ""))[0]
    return Flag(
        spellings=spellings,
        arity=arity,
        action=action,
        default=_shown(keywords.get("default")),
        choices=tuple(str(choice) for choice in choices) if isinstance(choices, tuple) else (),
        type=keywords["type"][1] if "type" in keywords else None,
        hidden=keywords.get("help", ("", ""))[1].rpartition(".")[2] == "SUPPRESS",
        line=line,
    )


def _shown(default: tuple[object, str] | None) -> str | None:
    if default is None:
        return None
    value, text = default
    return value if isinstance(value, str) else text
