"""Optional components with CMake code of their own, and for which GPUs that code compiles them.

Shapes read, from upstream's cpp/tensorrt_llm/{deep_ep,flash_mla,deep_gemm}/CMakeLists.txt of 2025 and 2026: the chosen
architectures are written to cuda_architectures.txt before an early ``return()``, so that packaging finds an empty file
where nothing is to be compiled. For nccl_extensions the build script chooses, by a function ``has_sm90_or_newer``.
MSA, the package fmha_sm100 of 2026, is not compiled: the script copies what CMake fetched, or patches a submodule that
only a checkout uses. The package asks for the GPU and whether there is such a package before it imports it.
"""

from __future__ import annotations

import ast
import re

from trtllm_builder.upstream.build_script import PATH
from trtllm_builder.upstream.cmake_syntax import CMakeSyntaxError, Command, commands
from trtllm_builder.upstream.model import Component
from trtllm_builder.upstream.tree import Tree

NAMES = ("deep_ep", "deep_gemm", "flash_mla", "nccl_extensions")
_LIST = "cuda_architectures.txt"
_SOURCES = (".cpp", ".cc", ".cu")
_CHOICE = re.compile(r"has_sm(\d{2,3})_or_newer")


def option_of(name: str) -> str:
    return f"BUILD_{name.upper()}"


def cmake_file(option: str) -> str | None:
    """Where a component's CMake code stands; None for what is no component's option."""
    name = next((name for name in NAMES if option_of(name) == option), None)
    return f"cpp/tensorrt_llm/{name}/CMakeLists.txt" if name else None


def read_components(tree: Tree, script: ast.Module) -> tuple[Component, ...]:
    """Those whose directory is there, and what ``script`` (scripts/build_wheel.py) chooses by itself; one whose CMake
    code has another shape counts as compiled for every GPU."""
    chosen = _chosen_by(script)
    found = [one for one in (chosen, _staged_by(script)) if one is not None]
    for name in NAMES:
        path = cmake_file(option_of(name)) or ""
        text = tree.text(path)
        if text is None or (chosen and name == chosen.name):
            continue
        try:
            found.append(_component(name, path, commands(text)))
        except CMakeSyntaxError as error:
            tree.note(f"{path}:{error.line}: {error}; for which GPUs it is compiled is not known")
    return tuple(found)


def _chosen_by(script: ast.Module) -> Component | None:
    for node in script.body:
        match = _CHOICE.fullmatch(node.name) if isinstance(node, ast.FunctionDef) else None
        if match:
            return Component("nccl_extensions", option_of("nccl_extensions"), PATH, node.lineno, int(match[1]))
    return None


def _staged_by(script: ast.Module) -> Component | None:
    for node in ast.walk(script):
        if isinstance(node, ast.If):
            test = ast.unparse(node.test)
            stages = isinstance(node.body[0], ast.Raise) and ("msa_src" in test or "interface.py" in test)
        else:
            stages = isinstance(node, ast.FunctionDef) and node.name == "apply_msa_patch"
        if stages and isinstance(node, ast.stmt):
            return Component("msa", option_of("msa"), PATH, node.lineno, only=(100, 103), staged=True)
    return None


def _component(name: str, path: str, found: tuple[Command, ...]) -> Component:
    written = next((at for at, command in enumerate(found) if _writes_list(command)), None)
    # Packaging opens the list whatever was chosen: only a return behind the writing keeps it from failing.
    if written is not None and any(command.name == "return" for command in found[written:]):
        minimum = _minimum(found[:written])
        return Component(
            name, option_of(name), path, found[written].line, minimum, () if minimum else _listed(found[:written])
        )
    sources = _sources(found)
    one = len(sources) == 1 and not sources[0].endswith(".cu") and "*" not in sources[0]
    return Component(name, option_of(name), path, 1, one_file=one)


def _writes_list(command: Command) -> bool:
    return command.name == "file" and command.arguments[:1] == ("WRITE",) and _LIST in " ".join(command.arguments)


def _minimum(found: tuple[Command, ...]) -> int | None:
    """``if(MAJOR GREATER_EQUAL 9)``: from 90 on."""
    for command in found:
        words = command.arguments
        if command.name == "if" and len(words) == 3 and "MAJOR" in words[0] and words[1] == "GREATER_EQUAL":
            return int(words[2]) * 10 if words[2].isdecimal() and len(words[2]) < 3 else None
    return None


def _listed(found: tuple[Command, ...]) -> tuple[int, ...]:
    """Architectures that ``list(APPEND ...)`` and ``set(...)`` name as plain numbers."""
    words = (
        word
        for command in found
        if command.name == "set" or (command.name == "list" and command.arguments[:1] == ("APPEND",))
        for word in command.arguments
    )
    return tuple(dict.fromkeys(int(word) for word in words if word.isdecimal() and 2 <= len(word) <= 3))


def _sources(found: tuple[Command, ...]) -> list[str]:
    words = (word for command in found for word in command.arguments if not command.name.startswith("message"))
    return sorted({word for word in words if word.endswith(_SOURCES)})
