"""What the audit takes for given, and where a statement runs."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from trtllm_builder.upstream.audit.model import Place, Standing
from trtllm_builder.upstream.audit.values import Class, Value


@dataclass(frozen=True)
class Facts:
    """What the audit takes for given. ``attributes`` are names of attributes with one value on one GPU."""

    multi_device: bool = False
    attributes: tuple[tuple[str, bool | int], ...] = (
        ("is_multi_gpu", False),
        ("world_size", 1),
        ("tp_size", 1),
        ("pp_size", 1),
        ("cp_size", 1),
        ("tensor_parallel_size", 1),
        ("pipeline_parallel_size", 1),
        ("context_parallel_size", 1),
        ("model_world_size", 1),
    )
    clean_environment: tuple[str, ...] = ("TLLM_", "TRTLLM_", "TRT_LLM_", "OMPI_", "PMI", "SLURM_", "RAY_")
    """Variables with these beginnings are not set."""

    def assumptions(self) -> tuple[str, ...]:
        return (
            f"ENABLE_MULTI_DEVICE is {int(self.multi_device)}",
            "Linux, one process, one GPU: " + ", ".join(f"{name} is {value}" for name, value in self.attributes),
            "no environment variable begins with " + ", ".join(self.clean_environment),
            "other packages, compiled modules and other programs are not looked into",
        )


@dataclass(eq=False)
class Frame:
    """Where a statement runs: a module, a class body or a function with its names."""

    module: str
    path: str
    names: dict[str, Value]
    outer: Frame | None
    """The frame whose names are seen from here when this one has none."""
    standing: Standing
    trail: tuple[Place, ...]
    owner: Class | None = None
    results: list[Value] = field(default_factory=list)
    jumps: list[dict[str, Value]] = field(default_factory=list)
    changing: set[str] = field(default_factory=set)
    """Of a module: names that some function of it declares global."""
    rebound: set[str] = field(default_factory=set)
    """Of a module: names that some function of it declares nonlocal."""
    shared: set[str] = field(default_factory=set)
    """Names declared global."""
    tried: int = 0
    """How many try statements around here catch an ImportError."""
    tried_loading: int = 0
    """How many of them catch an OSError, which is what a library that is not there raises."""
    conditions: list[str] = field(default_factory=list)
    """Conditions around here that could not be decided, the innermost last."""

    @property
    def root(self) -> Frame:
        frame = self
        while frame.outer is not None:
            frame = frame.outer
        return frame

    def place(self, node: ast.AST) -> Place:
        return Place(self.path, getattr(node, "lineno", 1))
