"""GPU code by library and architecture, as both the text and the page show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trtllm_builder.verify.capability import order
from trtllm_builder.verify.library import Library, Target

Mark = Literal["code", "ptx", "relocatable"]


@dataclass(frozen=True)
class Cell:
    """``count`` pieces of ``size`` bytes as stored; the mark is that of the best among them."""

    mark: Mark
    count: int
    size: int


@dataclass(frozen=True)
class Row:
    """Libraries that hold code for the same targets; ``paths`` has their members, ``cells`` one for each column."""

    paths: tuple[str, ...]
    cells: tuple[Cell | None, ...]

    @property
    def name(self) -> str:
        """``libcublas.so.13``, or ``mscclpp.so and 5 more``."""
        first = self.paths[0].rpartition("/")[2]
        return first + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")


@dataclass(frozen=True)
class Matrix:
    """``columns`` are target names, machine code before PTX."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def marks(self) -> frozenset[Mark]:
        """Those that occur."""
        return frozenset(cell.mark for row in self.rows for cell in row.cells if cell)


def matrix(libraries: Sequence[Library]) -> Matrix:
    """Libraries without GPU code are left out; those with the same columns and marks share a row."""
    with_code = [library for library in libraries if library.targets]
    columns = tuple(sorted({target.name for library in with_code for target in library.targets}, key=order))
    rows: dict[tuple[Mark | None, ...], tuple[list[str], list[list[Cell | None]]]] = {}
    for library in with_code:
        cells = [_cell([target for target in library.targets if target.name == name]) for name in columns]
        paths, held = rows.setdefault(tuple(cell.mark if cell else None for cell in cells), ([], []))
        paths.append(library.path)
        held.append(cells)
    return Matrix(
        columns, tuple(Row(tuple(paths), tuple(map(_sum, zip(*held, strict=True)))) for paths, held in rows.values())
    )


def _cell(targets: Sequence[Target]) -> Cell | None:
    if not targets:
        return None
    marks: set[Mark] = {("code" if t.kind == "cubin" else "ptx") if t.linked else "relocatable" for t in targets}
    best: Mark = "code" if "code" in marks else "ptx" if "ptx" in marks else "relocatable"
    return Cell(best, sum(target.count for target in targets), sum(target.size for target in targets))


def _sum(cells: Sequence[Cell | None]) -> Cell | None:
    there = [cell for cell in cells if cell]
    return Cell(there[0].mark, sum(c.count for c in there), sum(c.size for c in there)) if there else None
