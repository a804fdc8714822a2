"""What was seen on the way: places that reach MPI, shapes that are not understood, imports that are guarded."""

from __future__ import annotations

import ast
from itertools import groupby

from trtllm_builder.upstream.audit.frame import Frame
from trtllm_builder.upstream.audit.model import Guarded, Place, Standing, Touch, Unknown

TRAIL = 12
"""Places of a trail that are kept."""


class Seen:
    """Each place once, with the surest way to it."""

    def __init__(self) -> None:
        self.touches: dict[tuple[Place, str], Touch] = {}
        self.unknown: dict[Place, Unknown] = {}
        self.guarded: dict[Place, Guarded] = {}

    def touch(self, frame: Frame, node: ast.AST, what: str, *, installed: bool = False) -> None:
        """MPI is reached here. ``installed``: only where mpi4py is installed."""
        standing = Standing.INSTALLED if installed else frame.standing
        if not installed and frame.conditions:
            standing = Standing.POSSIBLE
        place = frame.place(node)
        known = self.touches.get((place, what))
        if known is None or known.standing > standing:
            condition = frame.conditions[-1] if frame.conditions else None
            trail = tuple(step for step, _same in groupby(frame.trail))
            self.touches[(place, what)] = Touch(place, what, standing, trail[-TRAIL:], condition)

    def strange(self, place: Place, what: str) -> None:
        self.unknown.setdefault(place, Unknown(place, what))

    def guard(self, frame: Frame, node: ast.AST, what: str, condition: str) -> None:
        place = frame.place(node)
        self.guarded.setdefault(place, Guarded(place, what, condition))
