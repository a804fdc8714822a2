"""What a checkout makes CMake download: FetchContent's declarations, in CMake code and in 2026's JSON list.

Formats: cmake's FetchContent and ExternalProject modules (their download options), upstream's
``3rdparty/fetch_content.json``, whose ``use_url`` entries stand for ``<git_repository>/archive/<git_tag>.tar.gz``, and
pip's VCS requirements (``NAME @ git+https://...@REF``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trtllm_builder.upstream.cmake_syntax import CMakeSyntaxError, Command, commands
from trtllm_builder.upstream.tree import Tree

LIST = "3rdparty/fetch_content.json"
GITHUB = "https://github.com"
"""What upstream's ``${github_base_url}`` is where GITHUB_MIRROR does not say otherwise."""

_DECLARING = ("fetchcontent_declare", "externalproject_add")
_CLONED = re.compile(r"git\+(?:https|ssh)://[^\s#;]+")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
# Names under which upstream keeps what an option switches, where the option's own name does not begin them.
_ALSO = {"tests": "googletest", "benchmarks": "googlebenchmark"}
_OFF = ("OFF", "0", "NO", "FALSE", "N")


@dataclass(frozen=True)
class Declared:
    """One download. ``tag`` is a branch, a tag or a commit, empty for an archive; ``url`` has no variables left in it.
    ``submodules`` says whether CMake fetches those too. ``file`` is relative to the checkout."""

    name: str
    kind: Literal["git", "archive"]
    url: str
    tag: str
    submodules: bool
    file: str
    line: int


@dataclass(frozen=True)
class Declarations:
    """All that were understood, and a note for each that was not."""

    found: tuple[Declared, ...]
    notes: tuple[str, ...] = ()


def read_declarations(checkout: Path) -> Declarations:
    """Everything declared in the checkout's own files; submodules and build directories are not looked into."""
    tree = Tree(checkout)
    found: dict[tuple[str, str, str], Declared] = {}
    for one in (*_listed(tree), *_in_cmake(tree)):
        if "$" in one.url or "$" in one.tag:
            tree.note(f"{one.file}:{one.line}: where {one.name} comes from is not known before CMake runs")
        else:
            found.setdefault((one.kind, one.url, one.tag), one)
    return Declarations(tuple(found.values()), tree.notes)


def not_beforehand(checkout: Path, options: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """A sentence for each thing that a build asks a server for while it configures, in a way that nobody can answer
    beforehand."""
    found = []
    tree = Tree(checkout)
    # Pip clones without blobs, which git cannot do from a repository without history, such as those that we keep.
    for path in sorted(checkout.glob("requirements*.txt")):
        for number, line in enumerate((tree.text(path.name) or "").splitlines(), 1):
            if (match := _CLONED.search(line)) and not line.lstrip().startswith("#"):
                found.append(f"{path.name}:{number} has pip clone {match[0]}, which is not among these")
    script = tree.text("scripts/build_wheel.py") or ""
    for number, line in enumerate(script.splitlines(), 1):
        if "conan" in line and ("remote add" in line or "--remote" in line):
            found.append(f"scripts/build_wheel.py:{number} asks a conan server, whose packages are not among these")
            break
    if any(name == "ENABLE_UCX" and not is_off(value) for name, value in options):
        found.append(
            "with ENABLE_UCX on, ucxx downloads rapids-cmake's files while it configures; they are not among these"
        )
    return tuple(found)


def is_off(value: str) -> bool:
    """Whether CMake takes the value for false; one that is not set is for the project to say."""
    return value.upper() in _OFF


def is_switched_off(one: Declared, options: Iterable[tuple[str, str]]) -> bool:
    """Whether an option such as BUILD_DEEP_EP=OFF says by its name that CMake will not ask for this download."""
    places = {_plain(part) for part in Path(one.file).parts[:-1]}
    name = _plain(one.name)
    for option, value in options:
        prefix, _, component = option.partition("_")
        what = _plain(component)
        if prefix not in ("BUILD", "ENABLE") or not is_off(value) or len(what) < 3:
            continue
        if what in places or name.startswith((what, _ALSO.get(what, what))):
            return True
    return False


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _listed(tree: Tree) -> Iterator[Declared]:
    text = tree.text(LIST)
    if text is None:
        return
    try:
        entries = json.loads(text)["dependencies"]
        for entry in entries:
            yield _entry(entry, text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        tree.note(f"{LIST} is not a list that we understand: {type(error).__name__}: {error}")


def _entry(entry: Any, text: str) -> Declared:
    name, tag = str(entry["name"]), str(entry["git_tag"])
    url = str(entry["git_repository"]).replace("${github_base_url}", GITHUB)
    at = text.find(json.dumps(name))
    line = text.count("\n", 0, max(at, 0)) + 1
    if entry.get("use_url"):
        return Declared(name, "archive", f"{url}/archive/{tag}.tar.gz", "", False, LIST, line)
    return Declared(name, "git", url, tag, entry.get("git_submodules") != "", LIST, line)


def _in_cmake(tree: Tree) -> Iterator[Declared]:
    for relative in _cmake_files(tree.root):
        text = tree.text(relative)
        if text is None or not any(word in text.lower() for word in _DECLARING):
            continue
        try:
            found = commands(text)
        except CMakeSyntaxError as error:
            tree.note(f"{relative}:{error.line}: {error}; what it downloads is not known")
            continue
        known = {"github_base_url": GITHUB}
        for command in found:
            words = command.arguments
            if command.name == "set" and len(words) == 2:
                known.setdefault(words[0], _expand(words[1], known))
            elif command.name in _DECLARING and (declared := _declaration(command, relative, known)):
                yield declared


def _declaration(command: Command, file: str, known: dict[str, str]) -> Declared | None:
    """None for a declaration that downloads nothing, or whose name only CMake knows (a loop over a list)."""
    words = [_expand(word, known) for word in command.arguments]
    value = {key: words[at + 1] for at, key in enumerate(words[:-1]) if key.isupper()}
    if not words or "$" in words[0]:
        return None
    if "GIT_REPOSITORY" in value:
        # Without GIT_TAG CMake asks for a branch of this name.
        tag = value.get("GIT_TAG", "master")
        submodules = value.get("GIT_SUBMODULES") != ""
        return Declared(words[0], "git", value["GIT_REPOSITORY"], tag, submodules, file, command.line)
    if value.get("URL", "").startswith(("https://", "http://", "$")):
        return Declared(words[0], "archive", value["URL"], "", False, file, command.line)
    return None


def _expand(text: str, known: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: known.get(match[1], match[0]), text)


def _cmake_files(root: Path) -> Iterator[str]:
    for directory, names, files in os.walk(root):
        here = Path(directory)
        names[:] = sorted(
            name
            for name in names
            if name not in (".git", "_deps", "node_modules")
            and not name.startswith(("build", ".venv"))
            and not (here / name / ".git").exists()
        )
        for name in sorted(files):
            if name == "CMakeLists.txt" or name.endswith(".cmake"):
                yield (here / name).relative_to(root).as_posix()
