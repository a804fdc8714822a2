"""What this host does not have and the build needs, each with the exact steps that bring it."""

from __future__ import annotations

from trtllm_builder.data import data_dir
from trtllm_builder.host.disk import probe_disk
from trtllm_builder.host.system import python_remedy
from trtllm_builder.plan.compile_cache import password_lack
from trtllm_builder.plan.model import Estimate, Lack
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.survey import Survey
from trtllm_builder.tools.advice import Advice
from trtllm_builder.units import format_size
from trtllm_builder.upstream.catalogue import Row


def find_lacks(request: Request, survey: Survey, disk: Estimate, least: int = 0) -> tuple[Lack, ...]:
    """All of them at once, so that a person makes one trip. ``least``: bytes below which there is no point in
    beginning, 0 where only the estimate is known."""
    profile = request.loaded.profile
    lacks = [
        Lack(f"{one.name} is missing: it is needed for {one.needed_for}", (one.remedy,))
        for one in survey.host.system.missing
    ]
    if survey.host.interpreter is None:
        lacks.append(
            Lack(
                f"no Python {profile.python} runs here",
                (python_remedy(profile.python), "or change 'python' in the profile"),
            )
        )
    for origin, advice, reason in (
        (survey.toolkit.origin, survey.toolkit.advice, survey.toolkit.reason),
        (survey.tensorrt.origin, survey.tensorrt.advice, survey.tensorrt.reason),
    ):
        if origin == "absent":
            lacks.append(Lack(reason, _steps(advice)))
    lacks += [Lack(tool.reason, ()) for tool in survey.tools if tool.origin == "absent"]
    lacks += password_lack(profile, request.environ)
    return (*lacks, *_room(request, survey, disk, min(least or disk.low, disk.low)))


def _steps(advice: Advice | None) -> tuple[str, ...]:
    if advice is None:
        return ()
    sizes = (
        f"download {format_size(advice.download[0])} to {format_size(advice.download[1])}, "
        f"installed {format_size(advice.installed[0])} to {format_size(advice.installed[1])} ({advice.source})"
    )
    return (advice.what, *(f"{number}. {step}" for number, step in enumerate(advice.steps, 1)), sizes)


def scarce_room(survey: Survey, row: Row | None, disk: Estimate) -> list[str]:
    """A warning where the room may do: more than the least, and less than the estimate, which is none of a limit."""
    place = survey.place
    free = place.disk.free
    if row is None or not min(row.least_disk, disk.low) <= free < disk.low or (place.root / "journal.jsonl").exists():
        return []
    return [f"{place.root} has {format_size(free)} free; {format_size(disk.low)} may be needed ({disk.source})"]


def _room(request: Request, survey: Survey, disk: Estimate, least: int) -> list[Lack]:
    place = survey.place
    if not place.disk.writable:
        return [Lack(f"{place.disk.path} cannot be written to", ("give a directory of yours with --workspace",))]
    needed = 0 if (place.root / "journal.jsonl").exists() else least
    install = sum(tool.size for tool in survey.tools) + survey.toolkit.size
    lacks = []
    if place.disk.free < needed:
        lacks.append(
            Lack(
                f"{place.root} has {format_size(place.disk.free)} free and the build needs at least "
                f"{format_size(needed)} ({disk.source})",
                ("enlarge the data disk, or give a directory with more room with --workspace",),
            )
        )
    # pip unpacks beside the result, so that twice the size is needed for a moment.
    home = probe_disk(data_dir(request.environ))
    if home.free < 2 * install:
        lacks.append(
            Lack(
                f"{home.path} has {format_size(home.free)} free and the tools need {format_size(2 * install)}",
                ("set XDG_DATA_HOME to a directory on a larger disk",),
            )
        )
    return lacks
