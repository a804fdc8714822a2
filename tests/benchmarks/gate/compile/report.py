"""The table of all runs, and what they say about the targets."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

_SIX, _TWELVE = 6 * 2**30, 12 * 2**30


def static_jobs(limit: float, each: int, cores: int) -> int:
    """What a rule of so many bytes a job makes of the limit."""
    return max(1, min(cores, int(limit // each)))


def table(results: list[dict[str, Any]], limit: float, cores: int) -> str:
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in results:
        runs[one["name"]].append(one)
    six, twelve = (f"-j {static_jobs(limit, each, cores)}" for each in (_SIX, _TWELVE))
    lines = [f"{limit / 2**30:g} GiB, {cores} cores; seconds as median (least to most) of the runs that finished"]
    lines.append(f"{'policy':<24}{'runs':>5}{'done':>5}  {'seconds':<28}{'killed':>7}{'stalled':>9}{'peak':>7}")
    for name, found in sorted(runs.items(), key=lambda one: _order(one[0])):
        also = [rule for rule, same in (("RAM/6", six), ("RAM/12", twelve), ("cores", f"-j {cores}")) if same == name]
        done = [one["seconds"] for one in found if one["finished"]]
        told = (
            f"{statistics.median(done):.1f} ({min(done):.1f} to {max(done):.1f})"
            if done
            else f"not finished in {max(one['seconds'] for one in found):.0f}"
        )
        lines.append(
            f"{name + (f' = {chr(44).join(also)}' if also else ''):<24}{len(found):>5}{len(done):>5}  {told:<28}"
            f"{sum(one['killed'] for one in found):>7}{max(one['stalled'] for one in found):>9.1f}"
            f"{max(one['peak'] for one in found) / 2**30:>7.1f}"
        )
    return "\n".join([*lines, *_targets(runs, six, twelve)])


def _order(name: str) -> tuple[int, int]:
    return (0, int(name[3:])) if name.startswith("-j ") else (1, ("cold", "learned").index(name))


def _targets(runs: dict[str, list[dict[str, Any]]], six: str, twelve: str) -> list[str]:
    def median(name: str) -> float | None:
        done = [one["seconds"] for one in runs.get(name, []) if one["finished"]]
        return statistics.median(done) if done else None

    statics = {name: median(name) for name in runs if name.startswith("-j ")}
    best = min((seconds for seconds in statics.values() if seconds), default=None)
    lines = []
    cold, learned = median("cold"), median("learned")
    for what, above, below, wanted in (
        ("RAM/6 over cold (at least 1)", median(six), cold, 1.0),
        ("RAM/6 over learned (at least 1.4)", median(six), learned, 1.4),
        ("RAM/12 over learned (at least 3)", median(twelve), learned, 3.0),
    ):
        if above and below:
            lines.append(f"{what:<44}{above / below:.2f}  {'met' if above / below >= wanted else 'NOT met'}")
    if best and learned:
        ratio = learned / best
        lines.append(f"{'learned over the best static (at most 1.1)':<44}{ratio:.2f}  {_met(ratio <= 1.1)}")
    gated = [one for name in ("cold", "learned") for one in runs.get(name, [])]
    if gated:
        clean = all(one["finished"] and not one["killed"] for one in gated)
        lines.append(f"{'gate: every run finished, nothing killed':<44}{'':4}  {_met(clean)}")
    return lines


def _met(held: bool) -> str:
    return "met" if held else "NOT met"
