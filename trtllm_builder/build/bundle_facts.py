"""What a bundle says that it was made for, and whether that is what somebody now wants to build."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trtllm_builder.errors import UsageError
from trtllm_builder.plan.make import Material
from trtllm_builder.plan.request import Request
from trtllm_builder.source.urls import parse_url
from trtllm_builder.text import clean, redact
from trtllm_builder.tools.catalogue import TOOLS


@dataclass(frozen=True)
class Repository:
    """Commits of one repository, in one pack; ``names`` are branches and tags that a build asks for."""

    url: str
    commits: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def part(self) -> str:
        return f"git/{parse_url(self.url).cache_name.removesuffix('.git')}.pack"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "part": self.part}


def made_for(request: Request) -> dict[str, Any]:
    """What a bundle for this request is made for."""
    return {
        "profile": request.loaded.profile.name,
        "url": redact(request.url),
        "ref": request.loaded.profile.source.ref,
    }


def machine() -> str:
    """The processor that wheels of this machine are for."""
    return platform.machine()


def toolkit_is_ours(material: Material) -> bool:
    """Whether nvcc comes from Python packages."""
    return material.survey.toolkit.origin == "ours"


def check_fits(facts: Mapping[str, Any], request: Request) -> None:
    """Raises UsageError that says what differs between the bundle and what is to be built."""
    profile = request.loaded.profile
    python = ".".join(map(str, sys.version_info[:2])) if profile.python == "host" else profile.python
    wanted = {"url": redact(request.url), "ref": profile.source.ref, "python": python, "machine": machine()}
    if profile.source.commit is not None:
        wanted["commit"] = profile.source.commit
    words = {"url": "the source", "machine": "a machine of kind", "python": "Python", "commit": "commit"}
    differs = [
        f"{words.get(key, key)} {clean(str(facts.get(key)))[:80]}, not {value}"
        for key, value in wanted.items()
        if facts.get(key) != value
    ]
    locks = facts.get("locks")
    differs += [
        f"another {clean(name)[:40]} than this version of trtllm-builder has locked"
        for name, digest in (locks.items() if isinstance(locks, dict) else ())
        if name not in TOOLS or TOOLS[name].digest != digest
    ]
    if differs:
        raise UsageError(
            f"the bundle was made for {'; '.join(differs)}",
            remedy="make one for this profile: trtllm-build fetch --profile NAME --bundle FILE",
        )
