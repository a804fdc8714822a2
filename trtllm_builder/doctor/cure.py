"""Which shipped profile builds a wheel for this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from trtllm_builder.doctor.facts import Facts
from trtllm_builder.doctor.graphics import cuda_of, devices
from trtllm_builder.errors import ProfileError
from trtllm_builder.profile.load import list_profiles, load_profile, search_path

_CANARY = "canary"


@dataclass(frozen=True)
class Candidate:
    """What of a profile decides. ``architectures`` as numbers: 89."""

    name: str
    architectures: frozenset[int]
    toolkit: SpecifierSet


def candidates(environ: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Every profile that can be loaded; the canary is no cure."""
    directories = search_path((), environ)
    found = []
    for listed in list_profiles(directories):
        if listed.fault is not None or listed.hidden_by is not None or listed.name == _CANARY:
            continue
        try:
            profile = load_profile(listed.name, profile_dirs=directories).profile
        except ProfileError:
            continue
        numbers = (re.match(r"\d+", str(one)) for one in profile.cuda.architectures)
        found.append(
            Candidate(
                listed.name,
                frozenset(int(match[0]) for match in numbers if match),
                SpecifierSet(str(profile.cuda.toolkit)),
            )
        )
    return tuple(found)


def cure(facts: Facts, known: tuple[Candidate, ...]) -> str:
    """``trtllm-build --profile NAME``, for this provider, GPU and driver as far as they are known."""
    graphics, machine = facts.graphics, facts.machine
    gpus = {int(gpu.compute.replace(".", "")) for gpu in devices(graphics) if gpu.compute} if graphics else set()
    cuda = cuda_of(graphics) if graphics else None
    majors = range(11, int(cuda.partition(".")[0]) + 1) if cuda else range(11, 20)
    provider = (machine.provider or "").lower() if machine else ""
    if not provider and facts.system is not None and facts.system.container == "wsl2":
        provider = "wsl2"
    fitting = [
        one
        for one in known
        if gpus <= one.architectures
        and any(one.toolkit.contains(f"{major}.{minor}") for major in majors for minor in range(10))
    ]
    fitting.sort(key=lambda one: (not (provider and one.name.startswith(provider)), len(one.architectures)))
    if not gpus and not provider:
        return "trtllm-build --profile NAME (`trtllm-build profiles list` shows them)"
    if fitting:
        return f"trtllm-build --profile {fitting[0].name}"
    wanted = ", ".join(map(str, sorted(gpus))) or "your GPU's"
    return f"trtllm-build --profile NAME, of a profile with cuda.architectures: [{wanted}]"
