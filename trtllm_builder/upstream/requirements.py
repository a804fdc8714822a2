"""Which TensorRT a checkout's requirements.txt asks for (PEP 508, a line each)."""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from trtllm_builder.upstream.tree import Tree

_FILE = "requirements.txt"
# Around 1.1 another line, for another CUDA, stands in a comment; with those, the file alone does not say which.
_OTHER_CUDA = re.compile(r"#.*For CUDA.*tensorrt", re.IGNORECASE)


def tensorrt_wanted(tree: Tree) -> str | None:
    """The range of versions, such as ``~=10.13.0``; None where it names none, several, or one without a version."""
    lines = (tree.text(_FILE) or "").splitlines()
    if any(_OTHER_CUDA.search(line) for line in lines):
        return None
    found = {str(one.specifier) for line in lines if (one := _requirement(line)) and one.name == "tensorrt"}
    return found.pop() or None if len(found) == 1 else None


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line.partition("#")[0].strip())
    except InvalidRequirement:
        return None


def overlap(known: str, asked: str) -> bool:
    """Whether a version that ``asked`` names fits both."""
    named = []
    for one in SpecifierSet(asked):
        try:
            named.append(Version(one.version.removesuffix(".*")))
        except InvalidVersion:
            continue
    both = SpecifierSet(known) & SpecifierSet(asked)
    return any(both.contains(version, True) for version in named)
