"""Which releases a machine can build and run, which it cannot and why, and the one to begin with.

Two things are asked apart. Building needs disk, memory, a Python, a C library and a toolkit that can be installed; it
needs no GPU. Running needs a driver for the toolkit's major version and a GPU that upstream compiles for.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from trtllm_builder.host.gpu import driver_cuda, driver_runs
from trtllm_builder.plan.situation import Situation
from trtllm_builder.units import format_size
from trtllm_builder.upstream.architectures import expected_targets
from trtllm_builder.upstream.catalogue import Row

# The last release of each major version; a driver for one major runs them all (minor-version compatibility).
_LAST = ("13.2", "12.9")
_ONE_JOB = 6 * 2**30  # bytes; field reports: one compiler job peaks at about 6 GB


@dataclass(frozen=True)
class Verdict:
    """A release on a machine. ``against`` are the reasons that rule it out, ``notes`` what else is worth knowing.

    ``toolkit`` is the CUDA release to build with, None where none fits.
    """

    row: Row
    toolkit: str | None
    against: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.against

    def to_json(self) -> dict[str, object]:
        return {
            "fits": self.fits,
            "toolkit": self.toolkit,
            "against": list(self.against),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Recommendation:
    """``release`` is a family, None when nothing fits; ``reason`` a sentence; ``steps`` what to take care of."""

    release: str | None
    toolkit: str | None
    reason: str
    steps: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"release": self.release, "toolkit": self.toolkit, "reason": self.reason, "steps": list(self.steps)}


def judge(row: Row, machine: Situation) -> Verdict:
    """What is not known of the machine is not held against the release."""
    toolkit = _toolkit(row, machine.driver)
    against = [*_status(row), *_driver(row, machine.driver, toolkit), *_gpus(row, machine, toolkit or row.toolkit)]
    against += [*_system(row, machine), *_room(row, machine)]
    return Verdict(row, toolkit, tuple(against), tuple(_notes(row, machine, toolkit)))


def recommend(verdicts: tuple[Verdict, ...], machine: Situation) -> Recommendation:
    """One that somebody has built before one that nobody has, then the newest."""
    fitting = [verdict for verdict in verdicts if verdict.fits]
    if not fitting:
        why = "; ".join(f"{verdict.row.family}: {verdict.against[0]}" for verdict in verdicts[-2:])
        return Recommendation(None, None, f"no release fits this machine ({why})", ())
    proven = [verdict for verdict in fitting if verdict.row.single_device == "supported"]
    chosen = (proven or fitting)[-1]
    sure = chosen.row.sureness["single_device"]
    reason = (
        f"the newest of those that fit here and that were built single-device before ({sure.source})"
        if proven
        else f"the newest that fits here; of none of these a single-device build is known ({sure.source})"
    )
    return Recommendation(chosen.row.family, chosen.toolkit, reason, tuple(_steps(chosen, machine)))


def _toolkit(row: Row, driver: str | None) -> str | None:
    """The one upstream made the release with, else the newest in its range that the driver runs."""
    allowed = SpecifierSet(row.cuda)
    for version in (row.toolkit, *_LAST):
        if allowed.contains(version) and (driver is None or driver_runs(driver, version) is not False):
            return version
    return None


def _status(row: Row) -> list[str]:
    if row.single_device != "unsupported":
        return []
    return [f"cannot be built single-device: {row.sureness['single_device'].source}"]


def _driver(row: Row, driver: str | None, toolkit: str | None) -> list[str]:
    if toolkit is not None or driver is None:
        return []
    return [f"needs CUDA {row.cuda}, and driver {driver} runs no release of that"]


def _gpus(row: Row, machine: Situation, toolkit: str) -> list[str]:
    against = []
    for number in machine.architectures:
        if number not in row.architectures:
            known = ", ".join(f"sm_{one}" for one in row.architectures)
            against.append(f"compiles nothing for sm_{number}: it knows {known}")
        elif number >= 100 and Version(toolkit) < Version("12.8"):
            against.append(f"sm_{number} needs CUDA 12.8, this release has {toolkit}")
    return against


def _system(row: Row, machine: Situation) -> list[str]:
    against = []
    if machine.glibc is not None and not SpecifierSet(row.glibc).contains(machine.glibc):
        against.append(f"needs glibc {row.glibc}, this machine has {machine.glibc}")
    if machine.pythons and not set(row.python) & set(machine.pythons):
        against.append(f"needs Python {' or '.join(row.python)}, this machine has {', '.join(machine.pythons)}")
    return against


def _room(row: Row, machine: Situation) -> list[str]:
    against = []
    if machine.disk is not None and machine.disk < row.least_disk:
        place = f" in {machine.place}" if machine.place else ""
        against.append(
            f"{format_size(machine.disk)} of disk{place} are too little: {format_size(row.least_disk)} at least"
        )
    if machine.memory is not None and machine.memory < _ONE_JOB:
        against.append(
            f"{format_size(machine.memory)} of memory are too little for one compiler ({format_size(_ONE_JOB)})"
        )
    return against


def _notes(row: Row, machine: Situation, toolkit: str | None) -> list[str]:
    notes = []
    if machine.disk is not None and row.least_disk <= machine.disk < row.disk.low:
        notes.append(f"{format_size(row.disk.low)} of disk may be needed: {row.disk.source}")
    if toolkit is not None and toolkit != row.toolkit:
        notes.append(f"made with CUDA {row.toolkit}, which the driver does not run; {toolkit} is in its range")
    return notes


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
    if machine.architectures:
        targets = expected_targets(machine.architectures, Version(toolkit), chosen.row.assumed_probe())
        steps.append(f"cuda.architectures: [{', '.join(map(str, machine.architectures))}]: {targets.reason}")
    return steps
