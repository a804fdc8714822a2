"""Whether Python text is fit for libcst: its native parser recurses without a limit, and overflows the stack."""

from __future__ import annotations

import ast
import warnings

from trtllm_builder.patching.edited import Misfit

# Far beyond what people write, far below what libcst (and our own walk of its tree) can take.
MAX_DEPTH = 250
_MAX_LINE = 50_000


def check_python(text: str) -> None:
    """Raises Misfit, with line and column, for what is not Python or is nested too deep to be read safely."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _MAX_LINE:
            raise Misfit(f"this line is longer than {_MAX_LINE:,} characters", number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        raise Misfit(f"this is not valid Python: {error.msg}", error.lineno or 1, error.offset or 1) from None
    except (RecursionError, MemoryError):
        raise Misfit("this Python is nested too deep") from None
    except ValueError as error:
        raise Misfit(f"this is not valid Python: {error}") from None
    _check_depth(tree)


def _check_depth(tree: ast.AST) -> None:
    waiting = [(tree, 0, 1, 1)]
    while waiting:
        node, depth, line, column = waiting.pop()
        depth += _levels(node)
        if depth > MAX_DEPTH:
            raise Misfit(f"this Python is nested deeper than {MAX_DEPTH} levels", line, column)
        for child in ast.iter_child_nodes(node):
            place = getattr(child, "lineno", line), getattr(child, "col_offset", column - 1) + 1
            waiting.append((child, depth, *place))


def _levels(node: ast.AST) -> int:
    """How deep libcst nests one node of ast, which keeps some chains flat."""
    if isinstance(node, ast.BoolOp):
        return len(node.values)
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return len(node.generators)
    if isinstance(node, ast.alias):
        return node.name.count(".") + 1
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").count(".") + 1
    return 1
