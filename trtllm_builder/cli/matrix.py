"""``trtllm-build matrix``: nightly builds of several profiles as ready workflow files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from trtllm_builder.ci.matrix import Matrix


def matrix(
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profiles", metavar="GLOB", help="Profiles by name, such as 'autodl-*'. Repeatable."),
    ] = None,
    format: Annotated[
        Literal["json", "github", "gitlab"], typer.Option("--format", help="json is the jobs alone.")
    ] = "json",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the files there (.github/workflows), not to the terminal."),
    ] = None,
    runners: Annotated[
        Path | None,
        typer.Option("--runners", metavar="FILE", help="Your runners by size; see --show-runners."),
    ] = None,
    show_runners: Annotated[
        bool, typer.Option("--show-runners", help="Print the file of runners that is used without --runners.")
    ] = False,
    resumes: Annotated[
        int | None,
        typer.Option("--resumes", min=0, max=9, help="Jobs that may go on, one after the other, with one build."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", metavar="CRON", help="When, in UTC; else 17 2 * * * (github; GitLab has its own)."),
    ] = None,
    install: Annotated[
        str | None,
        typer.Option(
            "--install",
            metavar="WHAT",
            help="What pip installs in every job: git+https://HOST/REPOSITORY@COMMIT, a wheel's URL with #sha256=...; "
            ". runs `make setup`, and is the default in a checkout of trtllm-builder.",
        ),
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", help="Python that runs trtllm-build, else 3.12 (github).")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="Container that jobs run in, else python:3.12-bookworm (gitlab).")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="End with a job that publishes to the index TRTLLM_INDEX.")
    ] = True,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of every profile.")
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None,
        typer.Option("--profile-dir", help="Look for profiles here first."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Render nightly builds: one job a profile on a runner large enough, resumed when its time is over, then one job
    that publishes what passed."""
    import json
    import os

    from trtllm_builder.ci.matrix import make_matrix
    from trtllm_builder.ci.needs import matching, needs_of
    from trtllm_builder.ci.runners import load_runners, runners_text
    from trtllm_builder.ci.workflows import Wishes, render, to_set_up, write
    from trtllm_builder.errors import UsageError

    platform: Literal["github", "gitlab"] = "gitlab" if format == "gitlab" else "github"
    if show_runners:
        say(runners_text(platform).rstrip())
        return
    if not profiles:
        raise UsageError("--profiles is missing", remedy="such as --profiles 'autodl-*'")
    directories = tuple(profile_dirs or ())
    names = matching(profiles, directories, os.environ)
    needs = [needs_of(name, tuple(overrides or ()), directories, os.environ) for name in names]
    found = make_matrix(needs, load_runners(runners, platform), resumes)
    if as_json or format == "json":
        if out is not None:
            raise UsageError("--out is for --format github and gitlab", remedy="redirect the output into a file")
        say(json.dumps(found.to_json(), indent=2))
        return
    asked = {"schedule": schedule, "python": python, "image": image}
    for option in ("image",) if platform == "github" else ("schedule", "python"):
        if asked[option] is not None:
            remedy = "its schedule is one of the project's, in its settings" if option == "schedule" else "leave it out"
            raise UsageError(f"--{option} does nothing with --format {format}", remedy=remedy)
    options = [("--set", value) for value in overrides or ()] + [("--profile-dir", str(one)) for one in directories]
    words: list[tuple[str, object]] = [("--profiles", one) for one in profiles]
    words += [("--format", format), ("--runners", runners), ("--resumes", resumes), ("--install", install)]
    words += [(f"--{name}", value) for name, value in asked.items()]
    wishes = Wishes(
        words=_command([*words, *options], [] if publish else ["--no-publish"]),
        install=install or _installed_here(),
        options=tuple(word for option in options for word in option),
        publish=publish,
        **{name: value for name, value in asked.items() if value is not None},
    )
    files = render(found, platform, wishes)
    if out is None:
        for name, text in files.items():
            say(f"# file: {name}\n{text}")
        return
    for path in write(files, out):
        say(f"wrote {path}")
    for line in _told(found):
        say(line)
    say("to set up:")
    for line in to_set_up(found, platform, wishes):
        say(f"  {line}")


def _installed_here() -> str:
    """The repository itself, if it is ours: no registry is asked for a name that anybody may have taken there."""
    from trtllm_builder.errors import UsageError

    with suppress(OSError):
        if '\nname = "trtllm-builder"\n' in Path("pyproject.toml").read_text("utf-8", errors="replace"):
            return "."
    raise UsageError(
        "--install is missing: this is no checkout of trtllm-builder, and the jobs have to install it from somewhere",
        remedy="such as --install git+https://HOST/trtllm-builder@COMMIT, or a wheel's URL with #sha256=...",
    )


def _command(asked: list[tuple[str, object]], flags: list[str]) -> str:
    import shlex

    words = [word for name, value in asked if value is not None for word in (name, str(value))]
    return shlex.join(["trtllm-build", "matrix", *words, *flags])


def _told(found: Matrix) -> list[str]:
    from trtllm_builder.units import format_size

    lines = []
    for job in found.jobs:
        needs = job.needs
        size = f"{needs.cores} cores, {format_size(needs.memory)}, {format_size(needs.disk)} of disk"
        more = f", gone on with in up to {job.resumes} more" if job.resumes else ""
        lines.append(f"{job.profile:<20} {','.join(job.runner.labels)} ({size}), {job.deadline} min{more}")
    return lines
