"""Which shipped profile builds a wheel for this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from trtllm_builder.doctor.facts import Facts
from trtllm_builder.doctor.graphics import cuda_of, devices
from trtllm_builder.errors import ProfileError
from trtllm_builder.profile.load import LoadedProfile, list_profiles, load_profile, search_path

_CANARY = "canary"


@dataclass(frozen=True)
class Candidate:
    """What of a profile decides. ``architectures`` as numbers: 89; ``mirrors`` are what it has in place of GitHub."""

    name: str
    architectures: frozenset[int]
    toolkit: SpecifierSet
    mirrors: tuple[str, ...] = ()


def candidates(environ: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Every profile that can be loaded; the canary is no cure."""
    directories = search_path((), environ)
    found = []
    for listed in list_profiles(directories):
        if listed.fault is not None or listed.hidden_by is not None or listed.name == _CANARY:
            continue
        try:
            loaded = load_profile(listed.name, profile_dirs=directories)
        except ProfileError:
            continue
        profile = loaded.profile
        numbers = (re.match(r"\d+", str(one)) for one in profile.cuda.architectures)
        found.append(
            Candidate(
                listed.name,
                frozenset(int(match[0]) for match in numbers if match),
                SpecifierSet(str(profile.cuda.toolkit)),
                mirrors_of(loaded),
            )
        )
    return tuple(found)


def mirrors_of(loaded: LoadedProfile) -> tuple[str, ...]:
    """URLs in place of GitHub's, of all its mirror sets, in order."""
    return tuple(dict.fromkeys(prefix.replacement for one in loaded.mirrors for prefix in one.git))


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
