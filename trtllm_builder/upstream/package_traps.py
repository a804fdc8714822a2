"""Traps in upstream's Python package, its setup.py and its C++ headers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from trtllm_builder.upstream.imports import imported, module_level, parse_module, reached
from trtllm_builder.upstream.model import Trap
from trtllm_builder.upstream.tree import Tree

_ALLOCATOR = "cpp/tensorrt_llm/kernels/userbuffers/ub_allocator.h"
_EXECUTOR = re.compile(r"tensorrt_llm/executor(?:\.py|/[^/]+\.py)\Z")
_DEEP_GEMM = "tensorrt_llm.deep_gemm"


def find_package_traps(tree: Tree) -> tuple[Trap, ...]:
    """All traps outside the build script; modules that cannot be read become notes of ``tree``."""
    found = [*_mpi_at_import(tree), *_deep_gemm(tree), *_executor(tree), *_setup(tree), *_allocator(tree)]
    return tuple(sorted(found, key=lambda trap: (trap.id, trap.file, trap.line)))


def _mpi_at_import(tree: Tree) -> Iterator[Trap]:
    for path, module in reached(tree).items():
        try:
            yield from _first(_imports_mpi4py(path, module))
            yield from _first(_splits(path, module))
        except RecursionError:
            tree.note(f"{path}: nested too deeply; it was not looked into")


def _first(traps: Iterator[Trap]) -> Iterator[Trap]:
    for trap in traps:
        yield trap
        return


def _imports_mpi4py(path: str, module: ast.Module) -> Iterator[Trap]:
    for statement, guarded in module_level(module.body):
        if not guarded and any(name.split(".")[0] == "mpi4py" for name in imported(statement, "")):
            what = "imports mpi4py whenever tensorrt_llm is imported; without MPI that fails or hangs"
            yield Trap("import-mpi4py", path, statement.lineno, what)


def _splits(path: str, module: ast.Module) -> Iterator[Trap]:
    for statement, guarded in module_level(module.body):
        if guarded or not isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr)):
            continue
        waiting: list[ast.AST] = [statement]
        while waiting:
            node = waiting.pop()
            # What runs only under a condition, or later, is guarded.
            if not isinstance(node, (ast.IfExp, ast.BoolOp, ast.Lambda)):
                waiting.extend(ast.iter_child_nodes(node))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("Split", "Split_type"):
                what = "splits an MPI communicator whenever tensorrt_llm is imported: that hangs in plain containers"
                yield Trap("import-splits-communicator", path, statement.lineno, what)


def _deep_gemm(tree: Tree) -> Iterator[Trap]:
    """One trap a file that imports deep_gemm without a guard at module level or, in the engine, on first use."""
    for path, _ in tree.files("tensorrt_llm"):
        if not path.endswith(".py") or b"deep_gemm" not in (tree.read(path) or b""):
            continue
        if path.startswith("tensorrt_llm/deep_gemm/"):
            continue
        module = parse_module(tree, path)
        if module is None:
            continue
        package = path.rpartition("/")[0].replace("/", ".")
        try:
            yield from _first(_imports_deep_gemm(path, module, package))
        except RecursionError:
            tree.note(f"{path}: nested too deeply; it was not looked into")


def _imports_deep_gemm(path: str, module: ast.Module, package: str) -> Iterator[Trap]:
    bodies = [module.body]
    if "/pyexecutor/" in path:
        bodies += [node.body for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    for body in bodies:
        for statement, guarded in module_level(body):
            if not guarded and any(f"{name}.".startswith(f"{_DEEP_GEMM}.") for name in imported(statement, package)):
                what = "imports tensorrt_llm.deep_gemm without a guard: with BUILD_DEEP_GEMM=OFF it fails there"
                yield Trap("import-deep-gemm", path, statement.lineno, what)


def _executor(tree: Tree) -> Iterator[Trap]:
    for path, _ in tree.files("tensorrt_llm"):
        if not _EXECUTOR.match(path) or b"mpi_session=None" not in (tree.read(path) or b""):
            continue
        module = parse_module(tree, path)
        for node in ast.walk(module) if module else ():
            # The branch that upstream keeps for everything but Windows, where mpi4py cannot serve.
            if isinstance(node, ast.If) and "Windows" in _strings(node.test):
                for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
                    if any(_is_none(keyword) for keyword in call.keywords if keyword.arg == "mpi_session"):
                        what = "the one-GPU executor takes an MPI pool on Linux: the first LLM(...) hangs"
                        yield Trap("executor-mpi-session", path, call.lineno, what)


def _strings(node: ast.AST) -> set[object]:
    return {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}


def _is_none(keyword: ast.keyword) -> bool:
    return isinstance(keyword.value, ast.Constant) and keyword.value.value is None


def _setup(tree: Tree) -> Iterator[Trap]:
    module = parse_module(tree, "setup.py")
    for node in ast.walk(module) if module else ():
        if isinstance(node, ast.FunctionDef) and any("bindings" in str(text) for text in _strings(node)):
            raised = [inner for inner in ast.walk(node) if isinstance(inner, ast.Raise)]
            lines = [inner.lineno for inner in raised if _raises(inner, "ImportError")]
            if lines:
                what = "packaging needs a tensorrt_llm/bindings directory, which --skip-stubs does not make"
                yield Trap("stubs-directory", "setup.py", min(lines), what)
                return


def _raises(node: ast.Raise, name: str) -> bool:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return getattr(raised, "id", "") == name


def _allocator(tree: Tree) -> Iterator[Trap]:
    """ncclWindow_t used where ENABLE_MULTI_DEVICE is 0, with nothing of that name there (issue 6798 of upstream)."""
    text = tree.text(_ALLOCATOR) or ""
    nested: list[bool] = []  # for each open #if: whether this part is for ENABLE_MULTI_DEVICE alone
    used = 0
    for number, line in enumerate(text.splitlines(), 1):
        directive = re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)", line)
        if directive:
            word, rest = directive[1], directive[2]
            if word in ("if", "ifdef"):
                nested.append("ENABLE_MULTI_DEVICE" in rest and "!" not in rest)
            elif word == "ifndef":
                nested.append(False)
            elif word in ("elif", "else") and nested:
                nested[-1] = False
            elif word == "endif" and nested:
                nested.pop()
        elif "ncclWindow_t" in line and not any(nested):
            if re.search(r"using\s+ncclWindow_t\b|typedef\b.*\bncclWindow_t\s*;", line):
                return
            used = used or number
    if used:
        what = "ncclWindow_t is used with ENABLE_MULTI_DEVICE=0, where no header defines it: compilation fails"
        yield Trap("ub-allocator-window", _ALLOCATOR, used, what)
