"""The machines that a CI offers, by size, and which of them a profile gets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from trtllm_builder.ci.needs import Needs
from trtllm_builder.errors import HostError
from trtllm_builder.profile.load import load_settings
from trtllm_builder.profile.part import Part
from trtllm_builder.profile.scalars import PathText, Plain, Schema, Seconds, Size, parse_count, typed
from trtllm_builder.units import format_size

_DATA = Path(__file__).parent / "data"


def _label(text: str) -> str:
    if "$" in text or len(text) > 200:
        raise ValueError("expected text without `$`")
    return text


def _some(values: tuple[object, ...]) -> tuple[object, ...]:
    if not values:
        raise ValueError("expected at least one value in this list")
    return values


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Count = Annotated[int, typed(parse_count, int, "a number")]
Labels = Annotated[
    tuple[Annotated[Plain, AfterValidator(_label)], ...], BeforeValidator(_one_or_many), AfterValidator(_some)
]


class Runner(Part):
    """One kind of machine."""

    labels: Labels
    """What the platform calls it: all of GitHub's labels, or GitLab's tags."""
    cores: Count
    """Cores that a job has."""
    memory: Size
    """Memory that a job has."""
    disk: Size
    """Free disk that a job has."""
    limit: Seconds
    """After how long the platform ends a job."""
    keep: Annotated[PathText, AfterValidator(_label)] | None = None
    """A directory that stays between jobs, the same on all machines of these labels: caches and workspaces are kept
    there, where else they are restored and saved. Null where each job has a fresh machine."""


class Runners(Part):
    """All kinds, the one to be preferred first."""

    schema_: Schema = Field(alias="schema")
    """The version of this format: 1."""
    runners: Annotated[tuple[Runner, ...], AfterValidator(_some)]
    """A profile gets the first that is large enough."""
    publisher: Labels
    """The machine that publishes; it needs neither cores nor memory, but the way to the index."""


def load_runners(path: Path | None, platform: str) -> Runners:
    """Of the file, or ours for the platform. Raises ProfileError at the line that is wrong."""
    return load_settings(Runners, _DATA / f"{platform}.yaml" if path is None else path)


def runners_text(platform: str) -> str:
    """Ours for the platform, as a file to begin with."""
    return (_DATA / f"{platform}.yaml").read_text("utf-8")


def choose(needs: Needs, runners: Runners) -> Runner:
    """The first runner that is large enough. Raises HostError when none is."""
    for runner in runners.runners:
        if _fits(needs, runner):
            return runner
    sizes = "; ".join(
        f"{','.join(one.labels)} has {one.cores}, {format_size(one.memory)} and {format_size(one.disk)}"
        for one in runners.runners
    )
    raise HostError(
        f"no runner is large enough for {needs.profile}: it needs {needs.cores} cores, {format_size(needs.memory)} of "
        f"memory and {format_size(needs.disk)} of disk",
        remedy=f"name one in a file for --runners ({sizes}), or lower build.jobs",
    )


def _fits(needs: Needs, runner: Runner) -> bool:
    return runner.cores >= needs.cores and runner.memory >= needs.memory and runner.disk >= needs.disk
