"""Which GPU code upstream makes for the architectures that a profile asks for.

From cpp/cmake/modules/cuda_configuration.cmake of upstream: each architecture becomes the highest base of the same
major number (80 86 90 100 120 in all versions seen; the probe reads the list from the checkout); from 90 on the
code is architecture-specific (``a``), from 100 on and with CUDA 12.9 family-specific (``f``). Some kernel files add the
exact architecture (89 beside 86), and a target for which nothing is left is compiled as an sm_80 placeholder. Trees
without such a list pass each architecture to CMake as it is given. There is never PTX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from trtllm_builder.errors import ProfileError
from trtllm_builder.upstream.model import Probe

_PLACEHOLDER = "sm_80"
# What upstream's archives of prebuilt kernels may hold, whatever was asked for: they are linked as a whole.
_PREBUILT = {
    "sm_80",
    "sm_86",
    "sm_89",
    "sm_90",
    "sm_90a",
    "sm_100",
    "sm_100a",
    "sm_100f",
    "sm_103a",
    "sm_120",
    "sm_120a",
}
_PREBUILT |= {"sm_120f", "sm_121a"}
_FAMILY_TOOLKIT = Version("12.9")
# Before it the list is not there, and architectures reach CMake as they are given.
_FIRST_WITH_SUFFIXES = Version("0.20.dev0")
_FIRST_ACCELERATED = 90
_FIRST_FAMILY = 100


@dataclass(frozen=True)
class ExpectedTargets:
    """GPU targets of a wheel: of each group in ``required`` at least one must be there; nothing outside ``allowed``."""

    required: tuple[frozenset[str], ...]
    allowed: frozenset[str]
    reason: str

    def to_json(self) -> dict[str, object]:
        return {
            "required": [sorted(group) for group in self.required],
            "allowed": sorted(self.allowed),
            "reason": self.reason,
        }


def cmake_architectures(architectures: Sequence[int], probe: Probe) -> str:
    """The value of ``--cuda_architectures``: plain numbers where upstream adds the suffixes, else ``89-real;90-real``.

    Plain numbers would make PTX in the old generation; suffixes are forbidden by the newest one. Where the list of
    bases was not found, the version decides.
    """
    suffix = "" if probe.architecture_bases or _adds_suffixes(probe.version) else "-real"
    return ";".join(f"{number}{suffix}" for number in dict.fromkeys(architectures))


def _adds_suffixes(version: str) -> bool:
    try:
        return Version(version) >= _FIRST_WITH_SUFFIXES
    except InvalidVersion:
        return False


def expected_targets(architectures: Sequence[int], cuda: Version, probe: Probe) -> ExpectedTargets:
    """``architectures`` as in the profile (89 is sm_89), ``cuda`` the toolkit's version.

    Raises ProfileError for an architecture that this upstream, or this toolkit, does not build.
    """
    if not probe.architecture_bases:
        names = [f"sm_{number}" for number in dict.fromkeys(architectures)]
        if _adds_suffixes(probe.version):
            # Which suffix it adds, and what base it takes, stands where it was not found.
            groups = tuple(
                frozenset({f"sm_{number}", _name(number, False), _name(number, True)})
                for number in dict.fromkeys(architectures)
            )
            return ExpectedTargets(
                required=groups,
                allowed=frozenset({_PLACEHOLDER}).union(*groups, _PREBUILT if probe.prebuilt_kernels else ()),
                reason=f"the list of bases that {probe.version} should have was not found; each GPU's own code is "
                "expected",
            )
        return ExpectedTargets(
            required=tuple(frozenset({name}) for name in names),
            allowed=frozenset(names),
            reason="this upstream passes architectures to CMake as they are given",
        )
    if 101 in architectures and cuda.major >= 13:
        raise ProfileError(
            f"architecture 101 is not known to CUDA {cuda}: since 13.0 it is 110, which upstream does not build",
            remedy="choose a release and a cuda.toolkit below 13, or leave the architecture out",
        )
    families = cuda.release >= _FAMILY_TOOLKIT.release
    required: dict[frozenset[str], None] = {}
    allowed = {_PLACEHOLDER} | (_PREBUILT if probe.prebuilt_kernels else set())
    mapped = []
    for number in dict.fromkeys(architectures):
        base = _base(number, probe)
        if base >= _FIRST_FAMILY and base != number and not families:
            raise ProfileError(
                f"architecture {number} needs a CUDA toolkit of 12.9 or newer, this one is {cuda}: code for {base} "
                f"runs on {number} only as family code",
                remedy="raise cuda.toolkit, or leave the architecture out",
            )
        kept_exact = number in probe.architecture_exact
        name = _name(base, families and not kept_exact)
        own = _name(number, False)
        # The base's code serves this GPU; where a kernel has its own code too, that may stand for it.
        required[frozenset({name, own}) if base < _FIRST_ACCELERATED else frozenset({name})] = None
        allowed |= {name, own, _name(base, False)}
        mapped.append(f"{number} as {name}" if name != own else name)
    others = "; its prebuilt kernels bring code of their own" if probe.prebuilt_kernels else ""
    return ExpectedTargets(
        required=tuple(required),
        allowed=frozenset(allowed),
        reason=f"upstream compiles {', '.join(mapped)} with CUDA {cuda}; sm_80 may stand as a placeholder{others}",
    )


def _base(number: int, probe: Probe) -> int:
    if number in probe.architecture_exact:
        return number
    bases = [base for base in probe.architecture_bases if base <= number and base // 10 == number // 10]
    if not bases:
        known = ", ".join(str(base) for base in (*probe.architecture_bases, *probe.architecture_exact))
        raise ProfileError(
            f"this upstream ({probe.version}) does not build architecture {number}",
            remedy=f"it builds {known} and what runs on these",
        )
    return max(bases)


def _name(number: int, families: bool) -> str:
    if families and number >= _FIRST_FAMILY:
        return f"sm_{number}f"
    return f"sm_{number}a" if number >= _FIRST_ACCELERATED else f"sm_{number}"
