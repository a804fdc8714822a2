"""What the package itself does to the things by which names, modules and variables are usually known."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from trtllm_builder.upstream.audit.model import Place
from trtllm_builder.upstream.audit.values import Const, Value


@dataclass
class Doubts:
    """Collected on the way; each takes a certainty away."""

    exposed: set[str] = field(default_factory=set)
    """Modules whose functions and classes somebody goes through, whatever they are called."""
    dynamic: set[ast.ClassDef] = field(default_factory=set)
    """Classes whose objects are given attributes by names that are not known."""
    environment: set[str] = field(default_factory=set)
    """Environment variables that the package sets itself; an empty name for one that is not known."""
    outside: dict[str, Place] = field(default_factory=dict)
    """Top-level modules that are no part of the package, with the first place that imports each."""
    moved: bool = False
    """Whether ``sys.path`` was changed, so that a file of the package may be a module of another name."""
    replaced: bool = False
    """Whether something else was put in the place of mpi4py."""

    def is_unset(self, names: Value, clean: tuple[str, ...]) -> bool:
        """Whether these are names of variables that begin as those of a ``clean`` environment do, and that the package
        does not set."""
        return all(
            isinstance(name, Const) and str(name.value).startswith(clean) and not {"", name.value} & self.environment
            for name in names
        )
