"""What CMake code declares: options with their defaults, the CMake it asks for, the GPU architectures it knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trtllm_builder.upstream.cmake_syntax import CMakeSyntaxError, Command, commands
from trtllm_builder.upstream.model import CMakeOption
from trtllm_builder.upstream.tree import Tree

_TOP = "cpp/CMakeLists.txt"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BUILD_DIRECTORY = re.compile(r"cpp/(?:build|cmake-build)[^/]*/")
# What a submodule or a fetched project declares is not upstream's.
_SKIP = frozenset({".git", "_deps", "conan", "submodules", "node_modules"})


@dataclass(frozen=True)
class CMakeFacts:
    """``bases`` are the architectures that upstream compiles for, others of the same major run on them; ``exact`` those
    that run only their own code. Both are empty in trees that pass architectures to CMake as they come (until 0.18).
    ``libraries`` are those without which configuring stops, by lower-case name, with file and line."""

    options: tuple[CMakeOption, ...] = ()
    minimum: str | None = None
    bases: tuple[int, ...] = ()
    exact: tuple[int, ...] = ()
    libraries: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def _option(command: Command, file: str) -> CMakeOption | None:
    """The declaration a single command makes, from cmake-commands(7) ``option`` and ``set(... CACHE ...)``."""
    words = command.arguments
    name = words[0] if words else ""
    if not _NAME.match(name):
        return None
    if command.name == "option" and len(words) >= 2:
        return CMakeOption(name, words[2] if len(words) > 2 else "OFF", file, command.line, "option")
    if command.name == "set" and "CACHE" in words[1:] and "INTERNAL" not in words and "FORCE" not in words:
        return CMakeOption(name, ";".join(words[1 : words.index("CACHE", 1)]), file, command.line, "cache")
    # 0.13 to 0.18 give ENABLE_MULTI_DEVICE and ENABLE_UCX their defaults through a function of this name.
    if command.name == "set_ifndef" and len(words) == 2:
        return CMakeOption(name, words[1], file, command.line, "variable")
    return None


def _declared(found: tuple[Command, ...], file: str) -> list[CMakeOption]:
    options = []
    undefined: list[str | None] = []  # for each open if(): the variable its test says is not defined
    in_function = 0
    for command in found:
        words = command.arguments
        if command.name in ("function", "macro"):
            in_function += 1
        elif command.name in ("endfunction", "endmacro"):
            in_function -= 1
        elif command.name == "if":
            undefined.append(words[2] if len(words) == 3 and words[:2] == ("NOT", "DEFINED") else None)
        elif command.name in ("else", "elseif") and undefined:
            undefined[-1] = None
        elif command.name == "endif" and undefined:
            undefined.pop()
        elif option := _option(command, file):
            options.append(option)
        elif command.name == "set" and len(words) == 2 and words[0] in undefined and not in_function:
            options.append(CMakeOption(words[0], words[1], file, command.line, "variable"))
    return options


def _numbers(found: tuple[Command, ...], variable: str) -> tuple[int, ...]:
    for command in found:
        if command.name == "set" and command.arguments[:1] == (variable,):
            return tuple(int(word) for word in command.arguments[1:] if word.isdecimal() and len(word) < 5)
    return ()


def _required(found: tuple[Command, ...]) -> Iterator[tuple[str, int]]:
    """Libraries of ``find_package(X REQUIRED)`` and ``find_library(V [NAMES] X REQUIRED)``, with the line; not those
    inside an ``if()``, which an option may switch off."""
    depth = 0
    for command in found:
        words = command.arguments
        if command.name in ("if", "foreach", "macro", "function"):
            depth += 1
        elif command.name in ("endif", "endforeach", "endmacro", "endfunction"):
            depth -= 1
        elif not depth and "REQUIRED" in words and command.name in ("find_package", "find_library"):
            named = words[:1] if command.name == "find_package" else words[1 : words.index("REQUIRED")]
            yield from ((word.lower(), command.line) for word in named if word != "NAMES")


def _ours(path: str) -> bool:
    name = path.rpartition("/")[2]
    return (name == "CMakeLists.txt" or name.endswith(".cmake")) and not _BUILD_DIRECTORY.match(path)


def read_cmake(tree: Tree) -> CMakeFacts:
    """Reads every CMake file under ``cpp/`` and those directly in ``3rdparty/``; what cannot be read becomes a note.

    A name declared more than once is kept once: the top file's declaration, else the first by path.
    """
    paths = [path for path, _ in tree.files("cpp", skip=_SKIP) if _ours(path)]
    paths += [path for path in ("3rdparty/CMakeLists.txt",) if tree.read(path) is not None]
    options: dict[str, CMakeOption] = {}
    libraries: dict[str, tuple[str, int]] = {}
    minimum: str | None = None
    bases: tuple[int, ...] = ()
    exact: tuple[int, ...] = ()
    for path in sorted(paths, key=lambda path: (path != _TOP, path)):
        text = tree.text(path)
        if text is None:
            continue
        try:
            found = commands(text)
        except CMakeSyntaxError as error:
            tree.note(f"{path}:{error.line}: {error}; its options are not known")
            continue
        for option in _declared(found, path):
            options.setdefault(option.name, option)
        # A module that looks for a library is asked by others; what it wants is not yet wanted.
        for name, line in _required(found) if not path.rpartition("/")[2].startswith("Find") else ():
            libraries.setdefault(name, (path, line))
        bases = bases or _numbers(found, "ARCHITECTURES_COMPATIBILITY_BASE")
        exact = exact or _numbers(found, "ARCHITECTURES_NO_COMPATIBILITY")
        if path == _TOP:
            for command in found:
                if command.name == "cmake_minimum_required" and command.arguments[:1] == ("VERSION",):
                    minimum = next(iter(command.arguments[1:2]), "").partition("...")[0] or None
    return CMakeFacts(tuple(options.values()), minimum, bases, exact, libraries)
