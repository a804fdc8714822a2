"""What belongs to the package beside its own directory: what ``trtllm-serve`` runs, and other top-level packages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trtllm_builder.upstream.tree import Tree

_SERVE = re.compile(r"""trtllm-serve["']?\s*=\s*["']?\s*([\w.]+)\s*:\s*([\w.]+)""")
_DECLARING = ("setup.py", "setup.cfg", "pyproject.toml")


@dataclass(frozen=True)
class Script:
    """A console script: ``module:function``, and the file that says so (entry points specification of PyPA)."""

    module: str
    function: str
    path: str
    line: int


def scripts(tree: Tree) -> tuple[Script, ...]:
    """All that ``trtllm-serve`` is said to run, in a checkout's setup files or an installed package's metadata."""
    found: dict[tuple[str, str], Script] = {}
    for path in (*_DECLARING, *(f"{directory}/entry_points.txt" for directory in _metadata(tree))):
        text = tree.text(path) or ""
        for match in _SERVE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.setdefault((match[1], match[2]), Script(match[1], match[2], path, line))
    return tuple(found.values())


def members(tree: Tree) -> frozenset[str] | None:
    """Top-level names that the package's RECORD has in a site-packages, where others lie too; None elsewhere."""
    own = _metadata(tree)
    if own == _metadata(tree, ""):
        return None
    lines = (line for directory in own for line in (tree.text(f"{directory}/RECORD") or "").splitlines())
    return frozenset(line.strip('"').split(",")[0].split("/")[0].removesuffix(".py") for line in lines)


def _metadata(tree: Tree, name: str = "tensorrt_llm") -> list[str]:
    """The ``*.dist-info`` directories of a distribution, or of all."""
    return sorted(
        path.name
        for path in tree.root.glob("*.dist-info")
        if path.name.lower().replace("-", "_").startswith(f"{name}_" if name else "")
    )
