"""What a checkout offers, read by syntax and text. Nothing of it is imported or run, nothing outside it is read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from trtllm_builder.errors import SourceError
from trtllm_builder.upstream.build_script import PATH, parse_python, read_flags
from trtllm_builder.upstream.cmake_options import read_cmake
from trtllm_builder.upstream.components import read_components
from trtllm_builder.upstream.imports import parse_module
from trtllm_builder.upstream.model import Probe
from trtllm_builder.upstream.script_facts import extra_handling, read_targets
from trtllm_builder.upstream.traps import find_traps
from trtllm_builder.upstream.tree import Tree

# git-lfs docs/spec.md: pointer files are under 1024 bytes and begin with the version line.
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_SIZES = range(100, 1025)
_SUBMODULE_PATH = re.compile(r"\s*path\s*=\s*(.*?)\s*\Z")
_PREBUILT = ("batch_manager", "executor")


def probe(checkout: Path) -> Probe:
    """Reads the checkout at ``checkout``.

    Raises SourceError when it is no TensorRT-LLM checkout or its build script is not valid Python (with file and line).
    A tree that cannot be built single-device is probed all the same: see ``Probe.refusal``.
    """
    if not checkout.is_dir():
        raise SourceError(f"{checkout} is not a directory", remedy="name the directory of a TensorRT-LLM checkout")
    tree = Tree(checkout)
    data = tree.read(PATH)
    if data is None:
        reason = next((note for note in tree.notes if PATH in note), f"{PATH} is missing")
        raise SourceError(
            f"this is not a TensorRT-LLM checkout: {reason}",
            remedy=f"name the directory that holds {PATH}; this was {checkout}",
        )
    module = parse_python(data, PATH)
    flags, notes = read_flags(module)
    cmake = read_cmake(tree)
    submodules = _submodules(tree)
    # Reading the files comes before taking the notes.
    version = _version(tree)
    pointers = _pointers(tree)
    prebuilt = prebuilt_mpi(tree)
    components = read_components(tree, module)
    traps = find_traps(tree, module, flags, cmake, prebuilt)
    return Probe(
        root=str(checkout),
        version=version,
        flags=flags,
        targets=read_targets(module, flags),
        extra_cmake_handling=extra_handling(module)[0],
        options=cmake.options,
        lfs_pointers=pointers,
        submodules=submodules,
        missing_submodules=tuple(path for path in submodules if not _filled(tree, path)),
        traps=traps,
        components=components,
        cmake_minimum=cmake.minimum,
        architecture_bases=cmake.bases,
        architecture_exact=cmake.exact,
        prebuilt_kernels=_prebuilt_kernels(tree),
        prebuilt_mpi=prebuilt,
        notes=(*notes, *tree.notes),
    )


def _version(tree: Tree) -> str:
    """``__version__`` of tensorrt_llm/version.py, which upstream's CMake and setup.py read too; else ``unknown``."""
    path = "tensorrt_llm/version.py"
    module = parse_module(tree, path)
    for statement in module.body if module else ():
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and isinstance(statement.value, ast.Constant):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            if getattr(target, "id", "") == "__version__" and isinstance(statement.value.value, str):
                return statement.value.value
    tree.note(f"{path} does not say __version__")
    return "unknown"


def _pointers(tree: Tree) -> tuple[str, ...]:
    found = []
    for path, size in tree.files():
        if size in _POINTER_SIZES and (tree.read(path, 1024) or b"").startswith(_POINTER):
            found.append(path)
    return tuple(sorted(found))


def _submodules(tree: Tree) -> tuple[str, ...]:
    """Paths in .gitmodules (git-config(1) syntax), those that stay inside the checkout."""
    found = []
    for line in (tree.text(".gitmodules") or "").splitlines():
        match = _SUBMODULE_PATH.match(line)
        if match:
            path = match[1].strip('"')
            if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
                tree.note(f".gitmodules names a path outside the checkout: {path[:80]!r}")
            else:
                found.append(path)
    return tuple(sorted(set(found)))


def _filled(tree: Tree, path: str) -> bool:
    try:
        directory = tree.root / path
        return not directory.is_symlink() and any(True for _ in directory.iterdir())
    except (OSError, ValueError):
        return False


def prebuilt_mpi(tree: Tree) -> tuple[str, ...]:
    """Archives of the batch manager and the executor where their sources are closed; those for x86_64 first."""
    found = []
    for part in _PREBUILT:
        directory = f"cpp/tensorrt_llm/{part}"
        # Upstream's own test: with a CMakeLists.txt the part is built from source, else the archive is linked.
        if tree.read(f"{directory}/CMakeLists.txt") is None:
            found += [
                path for path, _ in tree.files(directory) if path.endswith(".a") and f"tensorrt_llm_{part}" in path
            ]
    return tuple(sorted(found, key=lambda path: ("x86_64" not in path, path)))


def _prebuilt_kernels(tree: Tree) -> tuple[str, ...]:
    """The internal CUTLASS kernels for x86_64: static archives until 0.18, tar.xz files with archives later."""
    found = (path for path, _ in tree.files("cpp/tensorrt_llm/kernels/internal_cutlass_kernels"))
    return tuple(path for path in found if "x86_64" in path and path.endswith((".a", ".tar.xz")))
