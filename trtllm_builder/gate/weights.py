"""What a compile is expected to take: measured before, or by its kind (``kinds.yaml``, and what was seen)."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from trtllm_builder.gate.compiles import Compile
from trtllm_builder.gate.forecast import GUESSED_PACES, Weight
from trtllm_builder.gate.learned import Learned, Measured
from trtllm_builder.units import parse_size

_TABLE = Path(__file__).with_name("kinds.yaml")
_LEARNED_SPREAD = 0.05
_LEAST_SPREAD = 0.15
_PRIOR = 0.5
"""The table's figure counts as much as so many files that were measured."""
_MORE_SECONDS = 0.6
"""Each further architecture takes this share of the first one's time: the host's part is compiled once."""


@dataclass(frozen=True)
class Kind:
    """A row of the table: ``memory`` in bytes, ``spread`` as a share of it."""

    name: str
    memory: int
    spread: float
    seconds: float
    course: tuple[float, ...]
    suffixes: tuple[str, ...]
    words: tuple[str, ...]
    source: str


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, Kind]:
    """The packaged table, in its order."""
    rows = yaml.safe_load(_TABLE.read_text("utf-8"))["kinds"]
    return {
        row["name"]: Kind(
            row["name"], parse_size(row["memory"]), row["spread"], row["seconds"], tuple(map(float, row["course"])),
            tuple(row["suffixes"]), tuple(row["words"]), row["source"],
        )
        for row in rows
    }  # fmt: skip


def kind_of(compile: Compile) -> str:
    """The name of its row: by what it does, then by language and the words of its path."""
    if compile.work != "compile":
        return compile.work
    suffix = {".c++": ".cpp", ".C": ".cpp"}.get(compile.suffix, compile.suffix)
    path = compile.source.lower()
    for kind in kinds().values():
        if suffix in kind.suffixes and (not kind.words or any(word in path for word in kind.words)):
            return kind.name
    return "other"


@dataclass
class _Seen:
    """A kind's peaks and seconds: the table's, and more and more this build's own (Welford's running variance)."""

    table_peak: float
    table_spread: float
    table_seconds: float
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    seconds: float = 0.0

    def add(self, peak: float, seconds: float) -> None:
        self.count += 1
        before = peak - self.mean
        self.mean += before / self.count
        self.squares += before * (peak - self.mean)
        self.seconds += (seconds - self.seconds) / self.count

    @property
    def expected(self) -> tuple[float, float, float]:
        """Peak, its spread as a share of it, and seconds. That the table was wrong is no spread of the kind's own."""
        total = _PRIOR + self.count
        peak = (_PRIOR * self.table_peak + self.count * self.mean) / total
        variance = (_PRIOR * (self.table_spread * peak) ** 2 + self.squares) / total
        seconds = (_PRIOR * self.table_seconds + self.count * self.seconds) / total
        return peak, max(_LEAST_SPREAD, math.sqrt(variance) / peak), seconds


class Weights:
    """Answers for one build, and learns from it. ``overrides`` are a kind's bytes as the profile has them."""

    def __init__(self, learned: Learned | None = None, overrides: Mapping[str, int] | None = None) -> None:
        self._learned = learned or Learned()
        self._seen: dict[str, _Seen] = {}
        self._ratios: deque[float] = deque(maxlen=31)
        for kind in kinds().values():
            memory = (overrides or {}).get(kind.name, kind.memory)
            self._seen[kind.name] = _Seen(memory, kind.spread, kind.seconds)

    @property
    def pace(self) -> float:
        """How much longer compiles take here than where they were learned."""
        return statistics.median(self._ratios) if len(self._ratios) >= 5 else 1.0

    def of(self, compile: Compile) -> Weight:
        """Memory that threads multiply is counted in full where the kind alone is known."""
        measured = self._learned.of(compile)
        kind = kinds()[kind_of(compile)]
        if measured is not None and measured.peak:
            return Weight(
                measured.peak,
                "measured",
                _LEARNED_SPREAD,
                max(0.1, measured.seconds * self.pace),
                measured.course or kind.course,
            )
        seen = self._seen[kind.name]
        size, rounds = _scale(compile)
        peak, spread, seconds = seen.expected
        origin = f"{kind.name}, as {seen.count} measured" if seen.count else f"{kind.name}, by kind"
        return Weight(
            round(peak * size), origin, spread, seconds * rounds, kind.course, GUESSED_PACES, kind.name, seen.count
        )

    def note(self, compile: Compile, measured: Measured) -> None:
        """A compile of this build ended well."""
        before = self._learned.of(compile)
        if before is not None and before.seconds >= 1 and measured.seconds > 0:
            self._ratios.append(measured.seconds / before.seconds)
        if measured.peak and measured.seconds > 0:
            size, rounds = _scale(compile)
            self._seen[kind_of(compile)].add(measured.peak / size, measured.seconds / rounds)


def _scale(compile: Compile) -> tuple[float, float]:
    """How many times the memory and the seconds of one architecture."""
    return compile.threads, 1 + _MORE_SECONDS * (max(1, compile.count / compile.threads) - 1)
