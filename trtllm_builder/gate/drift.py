"""How far predictions were off, kind by kind: what the table or the learned peaks should be mended by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Drift:
    """Of one kind and one origin of its figures: means in bytes; ``worst`` is the highest measured peak as a share of
    what was predicted for it, and ``worst_source`` whose it was."""

    kind: str
    origin: str
    count: int
    predicted: int
    measured: int
    worst: float
    worst_source: str

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def drift(compiles: Iterable[tuple[str, str, str, int, int]]) -> tuple[Drift, ...]:
    """From (kind, origin, source, predicted, measured), the kinds that were off by most first. What took too little to
    be seen (0 bytes) counts as not measured."""
    groups: defaultdict[tuple[str, str], list[tuple[str, int, int]]] = defaultdict(list)
    for kind, origin, source, predicted, measured in compiles:
        if predicted > 0 and measured > 0:
            # "cutlass, as 12 measured" and "..., as 13 measured" are one origin.
            groups[kind, "measured" if origin == "measured" else "by kind"].append((source, predicted, measured))
    found = []
    for (kind, origin), rows in groups.items():
        source, predicted, measured = max(rows, key=lambda row: (row[2] / row[1], row[0]))
        found.append(
            Drift(
                kind, origin, len(rows),
                sum(row[1] for row in rows) // len(rows), sum(row[2] for row in rows) // len(rows),
                round(measured / predicted, 2), source,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.worst, one.kind, one.origin)))
