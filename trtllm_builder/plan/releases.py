"""Which releases a machine can build and run, and which it cannot and why.

Two things are asked apart. Building needs disk, memory, a Python, a C library and a toolkit that can be installed; it
needs no GPU. Running needs a driver for the toolkit's major version and a GPU that upstream compiles for; a GPU for
which there is no code is left out beside others.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from trtllm_builder.errors import ProfileError
from trtllm_builder.host.gpu import driver_runs, oldest_driver
from trtllm_builder.host.system import python_remedy
from trtllm_builder.plan.situation import Situation
from trtllm_builder.units import format_size
from trtllm_builder.upstream.architectures import expected_targets
from trtllm_builder.upstream.catalogue import Row, rows

# The last release of each major version; a driver for one major runs them all (minor-version compatibility).
_LAST = ("13.2", "12.9")
_ONE_JOB = 6 * 2**30  # bytes; field reports: one compiler job peaks at about 6 GB
# NVIDIA, CUDA 12.8 release notes: the first driver branch, and the first toolkit, for GPUs from sm_100 on.
_BLACKWELL, _BLACKWELL_DRIVER, _BLACKWELL_TOOLKIT = 100, 570, "12.8"
# Orin and Thor, which are aarch64 whatever a file says.
_TEGRA = (87, 101)


@dataclass(frozen=True)
class Objection:
    """What rules a release out here; ``cure`` is what changes that, None where nothing on this machine does."""

    what: str
    cure: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A release on a machine. ``against`` is what rules it out, ``notes`` what else is worth knowing.

    ``toolkit`` is the CUDA release to build with, None where none fits; ``architectures`` are those of the machine's
    GPUs that it is built for; ``single_device`` is the row's, as far as it holds for such a machine.
    """

    row: Row
    toolkit: str | None
    architectures: tuple[int, ...]
    single_device: str
    against: tuple[Objection, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.against

    def to_json(self) -> dict[str, object]:
        return {
            "fits": self.fits,
            "toolkit": self.toolkit,
            "architectures": list(self.architectures),
            "single_device": self.single_device,
            "against": [one.what for one in self.against],
            "notes": list(self.notes),
        }


def judge(row: Row, machine: Situation) -> Verdict:
    """What is not known of the machine is not held against the release."""
    toolkit = _toolkit(row, machine)
    unfit = {number: _unfit(row, number, machine, toolkit or row.toolkit) for number in machine.architectures}
    fit = tuple(number for number, objection in unfit.items() if objection is None)
    left_out = {number: objection for number, objection in unfit.items() if objection is not None}
    against = [*_status(row), *_driver(row, machine.driver, toolkit), *(() if fit else left_out.values())]
    against += [*_system(row, machine), *_room(row, machine)]
    notes = _notes(row, machine, toolkit)
    notes += [f"sm_{number} is left out: {_why(number, one)}" for number, one in left_out.items()] if fit else []
    return Verdict(row, toolkit, fit, _single_device(row, machine), tuple(against), tuple(notes))


def _toolkit(row: Row, machine: Situation) -> str | None:
    """The one upstream made the release with, else the newest in its range that the driver runs; before either comes
    one that compiles for more of the GPUs."""
    allowed, driver = SpecifierSet(row.cuda), machine.driver
    runs = [
        version
        for version in (row.toolkit, *_LAST)
        if allowed.contains(version) and (driver is None or driver_runs(driver, version) is not False)
    ]

    def compiles_for(version: str) -> int:
        return sum(_unfit(row, number, machine, version) is None for number in machine.architectures)

    return max(runs, key=compiles_for, default=None)


def _unfit(row: Row, number: int, machine: Situation, toolkit: str) -> Objection | None:
    """Why a GPU gets nothing from a release that is built with ``toolkit``."""
    if number not in row.architectures:
        known = ", ".join(f"sm_{one}" for one in row.architectures)
        return Objection(f"compiles nothing for sm_{number}: it knows {known}")
    if number >= _BLACKWELL and Version(toolkit) < Version(_BLACKWELL_TOOLKIT):
        return Objection(f"sm_{number} needs CUDA {_BLACKWELL_TOOLKIT}, this release has {toolkit}")
    if number >= _BLACKWELL and machine.driver is not None and Version(machine.driver).major < _BLACKWELL_DRIVER:
        return Objection(
            f"sm_{number} needs driver {_BLACKWELL_DRIVER} or newer, this machine has {machine.driver}",
            f"update the driver to {_BLACKWELL_DRIVER} or newer",
        )
    try:
        expected_targets((number,), Version(toolkit), row.assumed_probe())
    except ProfileError as error:
        return Objection(error.what)
    return None


def _why(number: int, objection: Objection) -> str:
    if not any(number in row.architectures for row in rows()):
        return "no release compiles for it"
    return f"this release {objection.what}" if objection.what.startswith("compiles") else objection.what


def _single_device(row: Row, machine: Situation) -> str:
    """All reports of such builds are of x86_64."""
    elsewhere = machine.machine != "x86_64" or any(number in _TEGRA for number in machine.architectures)
    return "unproven" if elsewhere and row.single_device == "supported" else row.single_device


def _status(row: Row) -> list[Objection]:
    if row.single_device != "unsupported":
        return []
    return [Objection(f"cannot be built single-device: {row.sureness['single_device'].source}")]


def _driver(row: Row, driver: str | None, toolkit: str | None) -> list[Objection]:
    if toolkit is not None or driver is None:
        return []
    oldest = oldest_driver(row.toolkit)
    return [
        Objection(
            f"needs CUDA {row.cuda}, and driver {driver} runs no release of that",
            f"update the driver to {oldest} or newer" if oldest else None,
        )
    ]


def _system(row: Row, machine: Situation) -> list[Objection]:
    against = []
    if machine.glibc is not None and not SpecifierSet(row.glibc).contains(machine.glibc):
        against.append(
            Objection(
                f"needs glibc {row.glibc}, this machine has {machine.glibc}",
                f"take an image with glibc {row.glibc}, such as Ubuntu 22.04 or Debian 12",
            )
        )
    if machine.pythons and not set(row.python) & set(machine.pythons):
        known = " or ".join(row.python)
        against.append(
            Objection(
                f"needs Python {known}, this machine has {', '.join(machine.pythons)}",
                f"install Python {known} ({python_remedy(row.python[0])}); another is nobody's report, and "
                "--set python=... takes it all the same",
            )
        )
    return against


def _room(row: Row, machine: Situation) -> list[Objection]:
    against = []
    if machine.disk is not None and machine.disk < row.least_disk:
        place = f" in {machine.place}" if machine.place else ""
        least = format_size(row.least_disk)
        against.append(
            Objection(
                f"{format_size(machine.disk)} of disk{place} are too little: {least} at least",
                f"make room, or attach a disk: {least} at least, {format_size(row.disk.low)} may be needed",
            )
        )
    if machine.memory is not None and machine.memory < _ONE_JOB:
        against.append(
            Objection(
                f"{format_size(machine.memory)} of memory are too little for one compiler ({format_size(_ONE_JOB)})",
                f"rent {format_size(_ONE_JOB)} of memory or more",
            )
        )
    return against


def _notes(row: Row, machine: Situation, toolkit: str | None) -> list[str]:
    notes = []
    if machine.disk is not None and row.least_disk <= machine.disk < row.disk.low:
        notes.append(f"{format_size(row.disk.low)} of disk may be needed: {row.disk.source}")
    if toolkit is not None and toolkit != row.toolkit:
        runs = machine.driver is None or driver_runs(machine.driver, row.toolkit) is not False
        why = "which does not compile for all of these GPUs" if runs else "which the driver does not run"
        notes.append(f"made with CUDA {row.toolkit}, {why}; {toolkit} is in its range")
    if _single_device(row, machine) != row.single_device:
        notes.append("built single-device on x86_64 only: of other machines nothing is known")
    return notes
