"""Checks of what the wheel says it is: its version in every place, and the Pythons it is for."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping

from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, Evidence, Seen, few, judged, skipped
from trtllm_builder.verify.expect import Expectation

_VERSION_LIMIT = 1 << 20  # characters of a file that may set __version__
# importlib's suffixes for extension modules on Linux: bindings.cpython-311-x86_64-linux-gnu.so, ops.abi3.so
_EXTENSION = re.compile(r"\.(?:(?P<full>cpython-3(?P<minor>\d+)[a-z]*)-[\w-]+|(?P<abi3>abi3))\.so$")


def name_checks(wheel: Wheel, expectation: Expectation) -> tuple[Check, ...]:
    """name, version, python-tag and extensions."""
    return (
        _name(wheel),
        _version(wheel, expectation),
        _python_tag(wheel, expectation),
        _extensions(wheel, expectation),
    )


def _name(wheel: Wheel) -> Check:
    """Names are compared as PEP 503 normalises them."""
    stated = wheel.header("Name")
    problems = [
        f"METADATA says {name}, the file name {wheel.name}"
        for name in stated
        if wheel.name and canonicalize_name(name) != canonicalize_name(wheel.name)
    ]
    return judged(
        "name",
        "one name in the file name and METADATA",
        problems if stated else ["METADATA has no Name"],
        seen=stated,
        remedy="Do not install it: it is another project's wheel under this name, or was renamed by hand.",
    )


def _version(wheel: Wheel, expectation: Expectation) -> Check:
    title = "one version in the file name, METADATA, __version__ and the plan"
    metadata = next(iter(wheel.header("Version")), "")
    stated: dict[str, tuple[str, str, int]] = {"the file name": (wheel.version, "", 0)}
    if expectation.version is not None:
        stated["the plan"] = (expectation.version, "", 0)
    told = literal_versions(wheel)
    problems: list[Seen] = []
    fatal = expectation.strict
    for where, (text, member, line) in {"METADATA": (metadata, "", 0), **stated}.items():
        if not _same(text, metadata):
            fatal = True
            said = f"{where} says {text}, METADATA {metadata}" if _valid(text) else f"{where} has no version: {text!r}"
            problems.append(Evidence(said, member, line))
    problems += [
        Evidence(f"__version__ is {text!r}, METADATA says {metadata}", member, line)
        for member, (text, line) in told.items()
        if not _same(text, metadata)
    ]
    return judged(
        "version",
        title,
        problems,
        severity="error" if fatal else "warning",
        seen=[metadata, *(Evidence(f"__version__ is {text!r}", member, line) for member, (text, line) in told.items())],
        remedy="Set the version before packaging, and build again."
        if fatal
        else "Whoever compares __version__ with the version that was asked for is misled; it works all the same.",
    )


def _valid(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _same(text: str, other: str) -> bool:
    return _valid(text) and _valid(other) and Version(text) == Version(other)


def literal_versions(wheel: Wheel) -> Mapping[str, tuple[str, int]]:
    """Member -> ``__version__`` as it is written there, and its line. Only of the package that bears the project's
    name: others may have versions of their own."""
    own = wheel.name.replace("-", "_").lower()
    packages = [name for name in wheel.top_level if name.lower() == own] or (
        list(wheel.top_level) if len(wheel.top_level) == 1 else []
    )
    found = {}
    for package in packages:
        for member in (f"{package}/version.py", f"{package}/_version.py", f"{package}/__init__.py", f"{package}.py"):
            if (said := _literal(wheel.texts.get(member, ""))) is not None:
                found[member] = said
    return found


def _literal(text: str) -> tuple[str, int] | None:
    if "__version__" not in text or len(text) > _VERSION_LIMIT:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for statement in module.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if not any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets):
            continue
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value, statement.lineno
    return None


def _python_tag(wheel: Wheel, expectation: Expectation) -> Check:
    title = "made for the profile's Python"
    tags = sorted({tag.interpreter for tag in wheel.tags})
    if expectation.python_tag is None:
        return skipped("python-tag", title, f"no Python was asked for; the wheel is {', '.join(tags)}", severity="info")
    problems = [] if expectation.python_tag in tags else [f"made for {', '.join(tags)}, not {expectation.python_tag}"]
    return judged("python-tag", title, problems, seen=", ".join(tags), remedy="Build with the profile's interpreter.")


def _extensions(wheel: Wheel, expectation: Expectation) -> Check:
    """An installer goes by the tag; the interpreter then passes over modules whose suffix is not its own."""
    title = "every extension module is for the Pythons of the tag"
    modules = [(one.name, match) for one in wheel.members if (match := _EXTENSION.search(one.name))]
    if not modules:
        return skipped("extensions", title, "no file is named as an extension module", severity="info")
    problems = [
        Evidence(f"is for CPython 3.{match['minor']} only, the tag says {few(_interpreters(wheel.tags))}", name)
        for name, match in modules
        if match["full"] and wheel.tags and not _serves(wheel.tags, match["full"])
    ]
    return judged(
        "extensions",
        title,
        problems,
        severity="error" if expectation.strict else "warning",
        seen=f"{len(modules)} modules",
        remedy="With another Python the wheel installs, and importing this module then fails: no module named so.",
    )


def _interpreters(tags: frozenset[Tag]) -> list[str]:
    return sorted({f"{tag.interpreter}-{tag.abi}" for tag in tags})


def _serves(tags: frozenset[Tag], suffix: str) -> bool:
    """Whether every tag means just the interpreter of ``cpython-311`` (or ``cpython-313t``)."""
    wanted = suffix.replace("cpython-", "cp")
    return all(tag.abi == wanted for tag in tags)
