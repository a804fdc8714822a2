"""What a profile's build needs of a machine, from its plan: the same wherever that plan is made."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trtllm_builder.errors import ProfileError, UsageError, Where
from trtllm_builder.plan.make import make_plan
from trtllm_builder.plan.request import Asked, make_request
from trtllm_builder.profile.load import list_profiles, locate, search_path

# One compiler after the other takes days for upstream.
_LEAST_JOBS = 2
_RESERVE = 2 * 2**30


@dataclass(frozen=True)
class Needs:
    """``cores`` and ``memory`` for as many compilers as the profile wants, or the least that make sense; memory and
    disk in bytes, ``seconds`` at most as estimated; 0 is not known. ``per_job`` is what one compiler may take,
    ``planned`` how many the plan would start here."""

    profile: str
    cores: int
    memory: int
    disk: int
    seconds: int
    per_job: int
    planned: int = 0

    def to_json(self) -> dict[str, object]:
        """Without ``planned``, which is about the machine that asks."""
        return {name: value for name, value in asdict(self).items() if name != "planned"}

    def memory_for(self, cores: int) -> int:
        """Bytes for that many compilers at once."""
        return max(self.memory, cores * self.per_job + _RESERVE)


def needs_of(profile: str, words: Sequence[str], profile_dirs: Sequence[Path], environ: Mapping[str, str]) -> Needs:
    """``words`` are values as ``--set`` takes them. Raises what making a plan raises."""
    asked = Asked(profile=profile, out=Path("/"), overrides=tuple(words), profile_dirs=tuple(profile_dirs))
    request = make_request(asked, environ)
    plan, _ = make_plan(request)
    build = request.loaded.profile.build
    cores = build.jobs if isinstance(build.jobs, int) else _LEAST_JOBS
    reserve = _RESERVE if build.reserve is None else build.reserve
    return Needs(
        profile=profile,
        cores=cores,
        memory=max(plan.memory.high, cores * plan.jobs.per_job + reserve),
        disk=plan.disk.high,
        seconds=plan.time.high,
        per_job=plan.jobs.per_job,
        planned=plan.jobs.count,
    )


def matching(patterns: Sequence[str], profile_dirs: Sequence[Path], environ: Mapping[str, str]) -> list[str]:
    """The profiles that a pattern fits (fnmatch; several in one with commas), sorted. Raises UsageError for a pattern
    that fits none, ProfileError for a file that is badly named or cannot be read."""
    directories = search_path(profile_dirs, environ)
    listed = [one for one in list_profiles(directories) if one.hidden_by is None]
    found: dict[str, None] = {}
    for pattern in (part.strip() for text in patterns for part in text.split(",")):
        fitting = [one for one in listed if pattern and fnmatch.fnmatchcase(one.name, pattern)]
        if not fitting:
            known = ", ".join(one.name for one in listed)
            raise UsageError(f"no profile is named like {pattern!r}", remedy=f"there are: {known}")
        for one in fitting:
            if one.fault is not None:
                raise one.fault
            try:
                locate(one.name, profile_dirs=directories)
            except ProfileError as error:
                remedy = "rename the file: letters, digits and . _ + -"
                raise ProfileError(error.what, where=Where(str(one.path)), remedy=remedy) from None
            found[one.name] = None
    if not found:
        raise UsageError("no profile was named", remedy="such as --profiles 'autodl-*'")
    return sorted(found)
