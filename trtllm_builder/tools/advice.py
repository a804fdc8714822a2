"""What a person can do, without root, when something that we cannot bring is not here. Data for preflight to print."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

_GIGA = 10**9


@dataclass(frozen=True)
class Step:
    """One thing to do; ``argv`` is empty where no command does it."""

    text: str
    argv: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}: {shlex.join(self.argv)}" if self.argv else self.text


@dataclass(frozen=True)
class Advice:
    """``download`` and ``installed`` are ranges in bytes; ``source`` says how well they are known."""

    what: str
    steps: tuple[Step, ...]
    download: tuple[int, int]
    installed: tuple[int, int]
    source: str

    @property
    def remedy(self) -> str:
        """The steps in one line, for an error."""
        return "; ".join(f"{number}. {step}" for number, step in enumerate(self.steps, start=1))

    def to_json(self) -> dict[str, object]:
        return {
            "what": self.what,
            "steps": [{"text": step.text, "command": shlex.join(step.argv)} for step in self.steps],
            "download": list(self.download),
            "installed": list(self.installed),
            "source": self.source,
        }


def runfile_options(directory: Path, scratch: Path) -> tuple[str, ...]:
    """The options of NVIDIA's CUDA runfile for a toolkit alone, without questions and without touching the system."""
    return (
        "--silent",
        "--override",
        "--toolkit",
        f"--toolkitpath={directory}",
        f"--defaultroot={directory}",
        f"--tmpdir={scratch}",
        "--no-man-page",
        "--no-opengl-libs",
        "--no-drm",
    )


def advise_toolkit(specifier: str, directory: Path) -> Advice:
    """How to get a CUDA toolkit in the range ``specifier`` into ``directory`` without root."""
    runfile, scratch = "cuda_<release>_linux.run", directory.parent / "cuda-tmp"
    return Advice(
        what=f"a CUDA toolkit {specifier} (nvcc with headers and libraries; building needs no driver)",
        steps=(
            Step(
                f"download the Linux runfile (local) of a release {specifier} from NVIDIA's CUDA toolkit archive page, "
                "on any machine, and copy it to the data disk"
            ),
            Step("either hand it over, and we install it without root: --set cuda.archive=FILE"),
            Step("or make room for it", ("mkdir", "-p", str(scratch))),
            Step(
                "and install it, which accepts NVIDIA's licence",
                ("sh", runfile, *runfile_options(directory, scratch)),
            ),
            Step(f"and name its directory: --set cuda.root={directory}"),
        ),
        download=(4 * _GIGA, 6 * _GIGA),
        installed=(6 * _GIGA, 9 * _GIGA),
        source="from public build notes, not measured by us; the runfile can go once it is installed",
    )


def advise_tensorrt(specifier: str | None, cuda: str | None, directory: Path) -> Advice:
    """How to get TensorRT's headers and libraries into ``directory`` without root. ``cuda`` such as ``12.9``."""
    archive = f"TensorRT-<version>.Linux.x86_64-gnu.cuda-{cuda or '<release>'}.tar.gz"
    wanted = f"TensorRT {specifier}" if specifier else "TensorRT"
    return Advice(
        what=f"{wanted} with its headers (the tensorrt packages that pip installs have libraries and no headers)",
        steps=(
            Step(f"download {archive} from NVIDIA's TensorRT page, on any machine, and copy it to the data disk"),
            Step("either hand it over, and we unpack it: --set tensorrt.archive=FILE"),
            Step("or make room for it", ("mkdir", "-p", str(directory))),
            Step(
                "and unpack it without its static libraries",
                ("tar", "-xzf", archive, "-C", str(directory), "--strip-components=1", "--exclude=*.a"),
            ),
            Step(f"and name its directory: --set tensorrt.root={directory}"),
        ),
        download=(3 * _GIGA, 8 * _GIGA),
        installed=(3 * _GIGA, 9 * _GIGA),
        source="an estimate for TensorRT 10; the archive can go once it is unpacked",
    )
