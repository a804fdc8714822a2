"""Traps in upstream's Python package, its setup.py and its requirements."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from trtllm_builder.upstream.imports import imported, module_level, parse_module, reached
from trtllm_builder.upstream.model import Trap
from trtllm_builder.upstream.mpi_traps import find_mpi_traps
from trtllm_builder.upstream.tree import Tree

_EXECUTOR = re.compile(r"tensorrt_llm/executor(?:\.py|/[^/]+\.py)\Z")
# Modules that exist only where their component was built: trap id -> (package, option).
_OPTIONAL = {
    "import-deep-gemm": ("tensorrt_llm.deep_gemm", "BUILD_DEEP_GEMM"),
    "import-deep-ep": ("tensorrt_llm.deep_ep", "BUILD_DEEP_EP"),
    "import-flash-mla": ("tensorrt_llm.flash_mla", "BUILD_FLASH_MLA"),
}
# A first look at the bytes, before anything is parsed: an import that names one of them.
_WORDS = re.compile(rb"(?:import|from)\b.*\b(?:deep_gemm|deep_ep|flash_mla)\b")


def find_package_traps(tree: Tree) -> tuple[Trap, ...]:
    """All traps of the package; modules that cannot be read become notes of ``tree``."""
    found = [*_modules(tree), *_setup(tree), *_requirements(tree)]
    return tuple(sorted(found, key=lambda trap: (trap.id, trap.file, trap.line)))


def _modules(tree: Tree) -> Iterator[Trap]:
    """What can be seen in each module. Every file is read once, and parsed once at most."""
    known = [path for path, _ in tree.files("tensorrt_llm", odd=".py") if path.endswith(".py")]
    seen = set()
    for path, data, module in reached(tree, frozenset(known)):
        seen.add(path)
        yield from _found(tree, path, find_mpi_traps(path, data, module))
        yield from _found(tree, path, _by_itself(path, data, module))
    for path in known:
        data = b"" if path in seen else tree.read(path) or b""
        by_itself = parse_module(tree, path, data) if _worth_parsing(path, data) else None
        if by_itself is not None:
            yield from _found(tree, path, _by_itself(path, data, by_itself))


def _found(tree: Tree, path: str, traps: Iterator[Trap]) -> list[Trap]:
    try:
        return list(traps)
    except RecursionError:
        tree.note(f"{path}: nested too deeply; it was not looked into")
        return []


def _worth_parsing(path: str, data: bytes) -> bool:
    return _WORDS.search(data) is not None or _is_executor(path, data)


def _is_executor(path: str, data: bytes) -> bool:
    return b"mpi_session=None" in data and _EXECUTOR.match(path) is not None


def _by_itself(path: str, data: bytes, module: ast.Module) -> Iterator[Trap]:
    """Traps of a module whether or not importing the package reaches it."""
    if _WORDS.search(data):
        yield from _optional_imports(path, module)
    if _is_executor(path, data):
        yield from _executor(path, module)


def _optional_imports(path: str, module: ast.Module) -> Iterator[Trap]:
    """One trap a file that imports a component without a guard at module level or, in the engine, on first use."""
    package = path.rpartition("/")[0].replace("/", ".")
    bodies = [module.body]
    if "/pyexecutor/" in path:
        bodies += [node.body for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    for identifier, (name, option) in _OPTIONAL.items():
        if path.startswith(f"{name.replace('.', '/')}/"):
            continue
        lines = [
            statement.lineno
            for body in bodies
            for statement, guarded in module_level(body)
            if not guarded and any(f"{one}.".startswith(f"{name}.") for one in imported(statement, package))
        ]
        if lines:
            what = f"imports {name} without a guard: with {option}=OFF it fails there"
            yield Trap(identifier, path, lines[0], what)


def _executor(path: str, module: ast.Module) -> Iterator[Trap]:
    for place in _by_system(module):
        for call in (inner for inner in ast.walk(place) if isinstance(inner, ast.Call)):
            if any(_is_none(keyword) for keyword in call.keywords if keyword.arg == "mpi_session"):
                what = "the one-GPU executor takes an MPI pool on Linux: the first LLM(...) hangs"
                yield Trap("executor-mpi-session", path, call.lineno, what)


def _by_system(module: ast.Module) -> Iterator[ast.stmt]:
    """What upstream does on Windows, where mpi4py cannot serve, and elsewhere: branches, or a branch that returns and
    what stands after it."""
    for node in ast.walk(module):
        for _, block in ast.iter_fields(node):
            for at, statement in enumerate(block if isinstance(block, list) else ()):
                if isinstance(statement, ast.If) and "Windows" in _strings(statement.test):
                    yield statement
                    if isinstance(statement.body[-1], ast.Return) and not statement.orelse:
                        yield from block[at + 1 :]


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


def _requirements(tree: Tree) -> Iterator[Trap]:
    for number, line in enumerate((tree.text("requirements.txt") or "").splitlines(), 1):
        if re.match(r"mpi4py(?![\w.-])", line):
            what = "the wheel asks pip for mpi4py, which a single-device wheel does without"
            yield Trap("requires-mpi4py", "requirements.txt", number, what)
            return
