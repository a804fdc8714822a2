"""How long a build still takes: by the work that is left, not by the number of steps.

A step's seconds are those it took in an earlier build, or else those of its class. Both are corrected by what the
finished steps of this build really took, each class by its own, so that another machine, other options or a busy
neighbour only mislead at the start. Hits of the compile cache count as what they are: next to nothing.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trtllm_builder.build.ninja_log import is_object

# Seconds of a step of a class, by its output, for want of anything better. Only their proportions matter once some
# steps are done. CUTLASS kernels measured 41 to 71 s each on one core, other CUDA files a half of that.
_CLASSES: tuple[tuple[str, re.Pattern[str], float], ...] = (
    ("heavy", re.compile(r"(?i)(cutlass|gemm|fmha|moe|flash|attention|mla)[^\n]*\.cu\.o$"), 60.0),
    ("cuda", re.compile(r"\.cu\.o$"), 30.0),
    ("bindings", re.compile(r"(?i)(nanobind|pybind|bindings|thop)[^\n]*\.o$"), 25.0),
    ("compiled", re.compile(r"\.(o|obj)$"), 10.0),
    ("linked", re.compile(r"\.so[.\d]*$"), 5.0),
)
_OTHER = ("other", 0.5)
# So many finished steps of a class weigh as much as what the other classes let expect of it, and so many of all classes
# as much as the figures above: those are of another machine.
_TRUST = 3.0
_TRUST_IN_TABLE = 0.2
# Before so many finished objects nothing is said, unless an earlier build is known.
_LEAST = 4
# Seconds of building that weigh as much as the number of jobs asked for.
_SETTLING = 30.0


def class_of(output: str) -> tuple[str, float]:
    """The class of a step, and its seconds."""
    return next(((name, seconds) for name, pattern, seconds in _CLASSES if pattern.search(output)), _OTHER)


@dataclass
class _Group:
    """Finished steps that are judged alike: what was expected of them, and what they really took."""

    expected: float = 0.0
    taken: float = 0.0
    finished: int = 0

    def ratio(self, prior: float, trust: float = _TRUST) -> float:
        """Real seconds for an expected one; ``prior`` counts like ``trust`` steps."""
        mean = self.expected / self.finished if self.finished else 1.0
        return (prior * trust * mean + self.taken) / (trust * mean + self.expected)


class Estimator:
    """Fed with the steps that are to be done and with those that are; asked for the seconds that are left."""

    def __init__(self, history: Mapping[str, float], jobs: int) -> None:
        self._history = history
        self._jobs = jobs
        self._pending: dict[str, tuple[str, float]] = {}
        self._groups: dict[str, _Group] = {}
        self._worked = 0.0
        self._hits, self._hit_seconds, self._misses = 0, 0.0, 0

    def expect(self, outputs: Iterable[str]) -> None:
        """Steps that this build has to do, as far as they are known."""
        for output in outputs:
            self._pending[output] = self._judge(output)

    def finished(self, output: str, seconds: float, *, hit: bool = False) -> None:
        """A step that was done, whether it was expected or not."""
        group, expected = self._pending.pop(output, self._judge(output))
        self._worked += seconds
        if hit:
            self._hits += 1
            self._hit_seconds += seconds
            return
        self._misses += is_object(output)
        known = self._groups.setdefault(group, _Group())
        known.expected += expected
        known.taken += seconds
        known.finished += 1

    def left(self, steps: int, built: float, running: Sequence[tuple[str, float]]) -> float | None:
        """Seconds to the last step. ``steps`` are left, building began ``built`` seconds ago, ``running`` are the
        outputs at work and the seconds they have been. None while nothing can be said."""
        if steps <= 0:
            return 0.0
        if self._hits + self._misses < _LEAST and not (self._history and self._pending):
            return None
        ratios = self._ratios(running)
        at_work = dict(running)
        # What runs is no hit: those end at once.
        tried = self._hits + self._misses + len(at_work)
        share = self._hits / tried if tried else 0.0
        each_hit = self._hit_seconds / self._hits if self._hits else 0.0
        waiting = [
            share * each_hit + (1 - share) * seconds * ratios[group]
            for output, (group, seconds) in self._pending.items()
            if output not in at_work
        ]
        others = steps - len(waiting) - len(at_work)
        if others >= 0:
            waiting += [_OTHER[1] * ratios.get(_OTHER[0], 1.0)] * others
        else:
            # Not all that could be compiled belongs to what is asked for.
            waiting = [seconds * max(0, steps - len(at_work)) / len(waiting) for seconds in waiting]
        rest = []
        for output, ran in running:
            group, seconds = self._pending.get(output, self._judge(output))
            # What has run longer than was thought is as good as done, or else much longer: who knows.
            rest.append(max(seconds * ratios[group] - ran, 0.1 * ran))
        mean = (self._jobs * _SETTLING + self._worked + sum(at_work.values())) / (_SETTLING + built)
        return _schedule(rest, waiting, max(1, len(rest), round(min(mean, self._jobs))))

    def _ratios(self, running: Sequence[tuple[str, float]]) -> dict[str, float]:
        """Real seconds for an expected one, by group. Running steps count once they take longer than expected: else the
        finished ones, the short ones among them first, would tell of a faster machine than it is."""
        groups = {name: replace(group) for name, group in self._groups.items()}
        for output, ran in running:
            name, seconds = self._pending.get(output, self._judge(output))
            group = groups.setdefault(name, _Group())
            if ran > seconds * group.ratio(1.0):
                group.expected += seconds
                group.taken += ran
                group.finished += 1
        for name, _ in self._pending.values():
            groups.setdefault(name, _Group())
        return {name: group.ratio(_overall(groups, name)) for name, group in groups.items()}

    def _judge(self, output: str) -> tuple[str, float]:
        name, seconds = class_of(output)
        known = self._history.get(output)
        return (name, seconds) if known is None else (f"{name}, known", known)


def _overall(groups: Mapping[str, _Group], name: str) -> float:
    """The ratio over all groups but this one, which knows better from what it has finished itself."""
    rest = _Group()
    for other, group in groups.items():
        if other not in (name, _OTHER[0]):
            rest.expected += group.expected
            rest.taken += group.taken
            rest.finished += group.finished
    return rest.ratio(1.0, _TRUST_IN_TABLE)


def _schedule(running: Sequence[float], waiting: Iterable[float], slots: int) -> float:
    """When all is done: each slot takes the next step as soon as it is free."""
    ends = sorted([*running, *[0.0] * (slots - len(running))])
    for seconds in waiting:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def linear(done: int, total: int, built: float) -> float | None:
    """Seconds left at the mean pace so far, for builds of which nothing but this is known. None before a tenth."""
    if not done or done * 10 < total:
        return None
    return built / done * (total - done)
