"""What a wheel asks of the machine it is installed on, in one place: read from its facts, not from its promises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.tags import Tag

from trtllm_builder.verify.audit import Audit
from trtllm_builder.verify.capability import order
from trtllm_builder.verify.checks.torch import torch_requirement, torch_use
from trtllm_builder.verify.glibc import asked, dotted
from trtllm_builder.verify.sonames import cuda_major

# The oldest Linux driver for programs of a CUDA major version (CUDA's release notes, minor-version compatibility).
_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


@dataclass(frozen=True)
class Needs:
    """``python`` in words; ``platforms`` such as ``Linux x86_64``; ``glibc`` the oldest that has what is asked for, by
    the library ``glibc_by``.

    ``cuda``: major versions of the toolkit whose libraries are linked (several: one is chosen at run time), or whose
    compiler made the GPU code, where that shows; ``driver`` the oldest that serves the oldest of them. ``gpus``:
    targets of machine code, ``ptx`` those of PTX. ``torch``: the requirement, empty when there is none; ``torch_abi``:
    ``new``, ``old``, ``mixed`` or empty. ``communication``: MPI, NCCL, UCX and NVSHMEM libraries that are linked.
    """

    python: str
    platforms: tuple[str, ...]
    glibc: str | None
    glibc_by: str
    cuda: tuple[int, ...]
    driver: str | None
    gpus: tuple[str, ...]
    ptx: tuple[str, ...]
    torch: str
    torch_abi: str
    communication: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "python": self.python,
            "platforms": list(self.platforms),
            "glibc": self.glibc,
            "glibc_by": self.glibc_by,
            "cuda": list(self.cuda),
            "driver": self.driver,
            "gpus": list(self.gpus),
            "ptx": list(self.ptx),
            "torch": self.torch,
            "torch_abi": self.torch_abi,
            "communication": list(self.communication),
        }

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Name and value for people; what is not asked for is left out."""
        platform = ", ".join(self.platforms) or "any platform"
        by = f" ({PurePosixPath(self.glibc_by).name})" if self.glibc_by else ""
        cuda = " or ".join(map(str, self.cuda))
        abi = {"new": " (C++ ABI of 2.6 and later)", "old": " (old C++ ABI)", "mixed": " (both C++ ABIs)"}
        torch = self.torch or ("linked, not required" if self.torch_abi else "")
        rows = (
            ("Python", self.python),
            ("platform", platform + (f", glibc {self.glibc} or newer{by}" if self.glibc else "")),
            ("CUDA", f"{cuda} (driver {self.driver} or newer)" if self.driver else cuda),
            ("GPUs", _gpus(self.gpus, self.ptx)),
            ("PyTorch", torch + abi.get(self.torch_abi, "")),
            ("network", ", ".join(self.communication)),
        )
        return tuple((name, value) for name, value in rows if value)


def needs_of(found: Audit) -> Needs:
    """From an audit's facts."""
    libraries = found.libraries
    wanted = {library.path: asked(library).floor for library in libraries}
    floor = max((one for one in wanted.values() if one), default=None)
    needed = {soname for library in libraries for soname in library.needed}
    cuda = tuple(sorted({major for soname in needed if (major := cuda_major(soname)) is not None}))
    if not cuda:  # the run-time library may be linked statically: then the compiler's mark is all there is
        cuda = tuple(sorted({library.cuda[0] for library in libraries if library.cuda}))
    required = torch_requirement(found.wheel)
    uses = [torch_use(library) for library in libraries] if found.wheel.name != "torch" else []
    abis = {use.abi for use in uses} - {""}
    return Needs(
        python=_python(found.wheel.tags),
        platforms=tuple(sorted({_platform(tag.platform) for tag in found.wheel.tags} - {""})),
        glibc=dotted(floor) if floor else None,
        glibc_by=next((path for path, one in wanted.items() if one and one == floor), ""),
        cuda=cuda,
        driver=_DRIVERS.get(cuda[0]) if cuda else None,
        gpus=tuple(sorted({name for library in libraries for name in library.cubins}, key=order)),
        ptx=tuple(sorted({name for library in libraries for name in library.ptx}, key=order)),
        torch=f"torch{required.specifier}" if required else "",
        torch_abi="mixed" if len(abis) > 1 else next(iter(abis), ""),
        communication=tuple(sorted({name for library in libraries for name in library.forbidden_libraries})),
    )


def _python(tags: frozenset[Tag]) -> str:
    """PEP 425's interpreter and ABI tags in words."""
    told = set()
    for tag in tags:
        number = tag.interpreter[2:]
        version = f"{number[0]}.{number[1:]}" if len(number) > 1 else number
        if tag.interpreter.startswith("cp"):
            later = " and later" if tag.abi in ("abi3", "none") else " free-threaded" if tag.abi.endswith("t") else ""
            told.add(f"CPython {version}{later}")
        else:
            told.add(f"any Python {version}" if tag.interpreter.startswith("py") else tag.interpreter)
    return ", ".join(sorted(told)) or "not said"


def _platform(platform: str) -> str:
    kind, _, machine = platform.partition("linux")
    if kind in ("many", "") and machine:
        name = next((name for name in ("x86_64", "aarch64") if platform.endswith(name)), platform)
        return f"Linux {name}"
    return "" if platform == "any" else platform


def _gpus(gpus: tuple[str, ...], ptx: tuple[str, ...]) -> str:
    code = ", ".join(gpus)
    virtual = ", ".join(name.removeprefix("compute_") for name in ptx)
    return "; PTX of ".join(filter(None, (code, virtual))) if code or not virtual else f"PTX of {virtual}"
