"""The release to begin with on a machine, or what stands nearest in the way of any."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from trtllm_builder.host.gpu import driver_cuda
from trtllm_builder.plan.releases import Verdict
from trtllm_builder.plan.situation import Situation
from trtllm_builder.upstream.architectures import expected_targets


@dataclass(frozen=True)
class Recommendation:
    """``release`` is a family, None when nothing fits; ``reason`` a sentence; ``steps`` what to take care of."""

    release: str | None
    toolkit: str | None
    reason: str
    steps: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"release": self.release, "toolkit": self.toolkit, "reason": self.reason, "steps": list(self.steps)}


def recommend(verdicts: tuple[Verdict, ...], machine: Situation) -> Recommendation:
    """One for most of the GPUs; among these one that somebody has built before one that nobody has, then the newest."""
    fitting = [verdict for verdict in verdicts if verdict.fits]
    if not fitting:
        return _none(verdicts)
    most = max(len(verdict.architectures) for verdict in fitting)
    fitting = [verdict for verdict in fitting if len(verdict.architectures) == most]
    proven = [verdict for verdict in fitting if verdict.single_device == "supported"]
    chosen = (proven or fitting)[-1]
    source = chosen.row.sureness["single_device"].source
    if chosen.single_device != chosen.row.single_device:
        source = "the reports are of x86_64"
    reason = (
        f"the newest of those that fit here and that were built single-device before ({source})"
        if proven
        else f"the newest that fits here; of none of these a single-device build is known ({source})"
    )
    return Recommendation(chosen.row.family, chosen.toolkit, reason, tuple(_steps(chosen, machine)))


def _none(verdicts: tuple[Verdict, ...]) -> Recommendation:
    """The release with the fewest things in the way, all of which can be changed where there is one."""
    curable = [verdict for verdict in verdicts if all(one.cure for one in verdict.against)]
    possible = [verdict for verdict in verdicts if verdict.row.single_device != "unsupported"]
    # min takes the first: the newest of those that are equal.
    nearest = min(
        reversed(curable or possible),
        key=lambda one: (len(one.against), bool(curable) and one.single_device != "supported"),
    )
    against = nearest.against if curable else [one for one in nearest.against if not one.cure]
    reason = f"no release fits this machine; nearest is {nearest.row.family}: {'; '.join(one.what for one in against)}"
    return Recommendation(None, None, reason, tuple(one.cure for one in nearest.against if one.cure and curable))


def _steps(chosen: Verdict, machine: Situation) -> list[str]:
    steps = []
    toolkit, place = chosen.toolkit or chosen.row.toolkit, machine.place or "a directory with room"
    if machine.cuda is None or not SpecifierSet(chosen.row.cuda).contains(machine.cuda):
        here = f"CUDA {machine.cuda} here is not {chosen.row.cuda}" if machine.cuda else "no toolkit is here"
        steps.append(f"{here}: unpack a CUDA {toolkit} toolkit under {place}, without its driver")
    known = driver_cuda(machine.driver) if machine.driver else None
    if known is not None and Version(toolkit) > Version(known):
        steps.append(
            f"machine code (SASS) only, no PTX: driver {machine.driver} knows CUDA {known} and cannot translate "
            f"PTX of {toolkit}; upstream makes none for plain architecture numbers"
        )
    if chosen.architectures:
        targets = expected_targets(chosen.architectures, Version(toolkit), chosen.row.assumed_probe())
        steps.append(f"cuda.architectures: [{', '.join(map(str, chosen.architectures))}]: {targets.reason}")
    return steps
