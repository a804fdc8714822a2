"""Whether a set's or an operation's conditions hold, on the files as they stood and the facts of the build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trtllm_builder.patching.document import decode
from trtllm_builder.patching.edited import Misfit
from trtllm_builder.patching.model import When
from trtllm_builder.patching.python_imports import at_import_time, imports
from trtllm_builder.patching.python_tree import parse
from trtllm_builder.patching.tree import Tree

# cmake-commands(7), if(): what CMake takes for true and false.
_TRUE = frozenset({"1", "ON", "YES", "TRUE", "Y"})
_FALSE = frozenset({"0", "OFF", "NO", "FALSE", "N", "IGNORE", "NOTFOUND", ""})


def unmet(conditions: Sequence[When], tree: Tree, facts: Mapping[str, str]) -> str | None:
    """None when all conditions hold, else a few words on the first that does not."""
    for condition in conditions:
        words = _unmet(condition, tree, facts)
        if words is not None:
            return words
    return None


def _unmet(when: When, tree: Tree, facts: Mapping[str, str]) -> str | None:
    if when.all:
        return unmet(when.all, tree, facts)
    if when.any:
        words = [_unmet(one, tree, facts) for one in when.any]
        return None if None in words else " and ".join(str(one) for one in words)
    if when.not_:
        return None if unmet(when.not_, tree, facts) else "it is wanted only elsewhere"
    if when.fact is not None:
        return _unmet_fact(when.fact, str(when.is_), facts)
    return _unmet_file(when, tree)


def _unmet_fact(name: str, value: str, facts: Mapping[str, str]) -> str | None:
    if name not in facts:
        return f"{name} is not known to be {value}"
    return None if _meaning(facts[name]) == _meaning(value) else f"{name} is {facts[name]}"


def _meaning(value: str) -> str:
    word = value.strip().upper()
    return "true" if word in _TRUE else "false" if word in _FALSE else value.strip()


def _unmet_file(when: When, tree: Tree) -> str | None:
    path = str(when.file)
    data = tree.original(path).data
    if data is None:
        return f"there is no {path}"
    text = decode(data).text
    if when.contains is not None and when.contains not in text:
        return f"{path} does not contain {when.contains!r}"
    if when.imports is not None and not _imports(text, path, when.imports):
        return f"{path} does not import {' or '.join(when.imports)} when it is imported"
    return None


def _imports(text: str, path: str, modules: Sequence[str]) -> bool:
    if not any(module.rpartition(".")[2] in text for module in modules):
        return False
    try:
        found = imports(parse(text), path)
    except Misfit:
        return False
    asked = {
        name
        for one in found
        if at_import_time(one.scope)
        for module in one.modules
        for name in (module, *(f"{module}.{taken}" for taken in one.names))
    }
    return any(name == module or name.startswith(module + ".") for name in asked for module in modules)
