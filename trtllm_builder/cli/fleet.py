"""``trtllm-build fleet``: several profiles on a cluster, followed in one view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trtllm_builder.cli.commands import SETTINGS
from trtllm_builder.cli.nightly import NotifyOption, check_notify
from trtllm_builder.cli.output import say

if TYPE_CHECKING:
    from trtllm_builder.ci.fleet import Fleet, Member

app = typer.Typer(add_completion=False, **SETTINGS)
FleetArgument = Annotated[
    str | None, typer.Argument(metavar="FLEET", help="Its name, or how that begins or ends; the newest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]
# sysexits.h, EX_TEMPFAIL, as `status` has it.
_RUNNING = 75


@app.callback(invoke_without_command=True)
def fleet(
    context: typer.Context,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profiles", metavar="GLOB", help="Profiles by name, such as 'autodl-*'. Repeatable."),
    ] = None,
    cluster: Annotated[Literal["slurm", "local"], typer.Option("--cluster", help="Where jobs run.")] = "local",
    shared: Annotated[
        Path | None,
        typer.Option("--shared", metavar="DIR", help="Workspaces and caches go here; every node must see it."),
    ] = None,
    cores: Annotated[int | None, typer.Option("--cores", min=1, help="Cores a job, not as the plan here says.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="TIME", help="A job's time: 8 h. Without it the cluster's limit.")
    ] = None,
    retries: Annotated[int, typer.Option("--retries", min=0, max=20, help="How often a lost job starts again.")] = 2,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, help="Builds at once with --cluster local; without it 1.")
    ] = None,
    slurm_options: Annotated[
        list[str] | None,
        typer.Option("--slurm", metavar="NAME=VALUE", help="An option of sbatch: partition=long. Repeatable."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, and do not follow.")] = False,
    notify: NotifyOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one value of every profile.")
    ] = None,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build several profiles, each in a job of its own: lock, build, verify, report. Ctrl-C stops following only.

    Exit status: 0 when every profile has a wheel, 6 when one has none, 130 after Ctrl-C, 75 with --detach.
    """
    if context.invoked_subcommand is not None:
        return
    import os

    from trtllm_builder.ci.clusters import Refused
    from trtllm_builder.ci.fleet import new_fleet
    from trtllm_builder.errors import UsageError
    from trtllm_builder.plan.survey import check_plain

    if not profiles:
        raise UsageError("--profiles is missing", remedy="such as --profiles 'autodl-*'; or: fleet attach")
    if cluster == "local" and slurm_options:
        raise UsageError("--slurm says nothing to --cluster local", remedy="give --cluster slurm, or leave --slurm out")
    if cluster == "slurm" and at_once is not None:
        raise UsageError("--at-once says nothing to --cluster slurm", remedy="its queue decides; leave --at-once out")
    check_notify(notify)
    options, limit = _options(slurm_options or []), _seconds(time)
    if shared is not None:
        shared = shared.expanduser().absolute()
        check_plain(shared, "--shared")
    directories = tuple(one.absolute() for one in profile_dirs or ())
    made = new_fleet(
        cluster,
        _members(profiles, tuple(overrides or ()), directories, cores),
        shared=shared,
        seconds=limit,
        retries=retries,
        at_once=at_once or 1 if cluster == "local" else 0,
        options=options,
        environ=os.environ,
    )
    made.write(os.environ)
    refused = 0
    for member in made.members:
        try:
            made.submit(member)
        except Refused as error:
            refused += 1
            made.journal.append("refused", profile=member.profile, why=f"the cluster refused it: {error}")
    if not as_json:
        say(f"fleet {made.identifier}: {len(made.members) - refused} of {len(made.members)} jobs on {cluster}")
        say(f"  all of it lies in {made.root}")
    if detach and refused < len(made.members):
        _look(made, as_json, keep=False)
        raise typer.Exit(_RUNNING)
    _follow(made, as_json, notify)


@app.command("attach")
def attach(name: FleetArgument = None, notify: NotifyOption = None, as_json: AsJson = False) -> None:
    """Follow a fleet that was left; jobs that were lost meanwhile are submitted again."""
    import os

    from trtllm_builder.ci.fleet import find

    check_notify(notify)
    _follow(find(name, os.environ), as_json, notify)


@app.command("status")
def status(name: FleetArgument = None, as_json: AsJson = False) -> None:
    """Show how a fleet fares now. Exit status: 75 while it works, 0 when all have a wheel, else 6."""
    import os

    from trtllm_builder.ci.fleet import find

    _look(find(name, os.environ), as_json, keep=False)


@app.command("cancel")
def cancel(name: FleetArgument = None, as_json: AsJson = False) -> None:
    """End all jobs of a fleet; what they finished is kept, and `fleet resume` goes on from there."""
    import os

    from trtllm_builder.ci.fleet import find
    from trtllm_builder.ci.follow import cancel_all

    found = find(name, os.environ)
    ended = cancel_all(found)
    if as_json:
        _print({"event": "cancelled", "fleet": found.identifier, "profiles": ended})
        return
    if not ended:
        say(f"fleet {found.identifier}: no job of it is left to be ended; trtllm-build fleet status shows how it fared")
        return
    many = "1 job is" if len(ended) == 1 else f"{len(ended)} jobs are"
    say(f"fleet {found.identifier}: {many} ended: {', '.join(ended)}")
    say(f"  trtllm-build fleet resume {found.identifier} goes on with them")


@app.command("resume")
def resume(name: FleetArgument = None, notify: NotifyOption = None, as_json: AsJson = False) -> None:
    """Submit again every member that has no wheel and no job; each goes on from what is left of its workspace."""
    import os

    from trtllm_builder.ci.fleet import find
    from trtllm_builder.ci.follow import resume_all

    check_notify(notify)
    found = find(name, os.environ)
    resume_all(found)
    _follow(found, as_json, notify)


def _members(
    patterns: list[str], overrides: tuple[str, ...], profile_dirs: tuple[Path, ...], cores: int | None
) -> list[Member]:
    import os

    from trtllm_builder.ci.fleet import Member
    from trtllm_builder.ci.needs import matching, needs_of

    words = [word for value in overrides for word in ("--set", value)]
    words += [word for one in profile_dirs for word in ("--profile-dir", str(one))]
    members = []
    for name in matching(patterns, profile_dirs, os.environ):
        needs = needs_of(name, overrides, profile_dirs, os.environ)
        wanted = cores or needs.planned
        members.append(Member(name, tuple(words), wanted, needs.memory_for(wanted)))
    return members


def _seconds(text: str | None) -> float:
    from trtllm_builder.errors import UsageError
    from trtllm_builder.units import parse_duration

    try:
        return parse_duration(text) if text is not None else 0.0
    except ValueError as error:
        raise UsageError(f"--time {text}: {error}", remedy="such as --time '8 h'") from None


def _options(texts: list[str]) -> dict[str, str]:
    from trtllm_builder.errors import UsageError

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        plain = name.replace("-", "").replace("_", "").isalnum() and name.isascii() and value.isprintable()
        if not equals or not plain or any(sign in value for sign in "\"'`$\\"):
            raise UsageError(f"--slurm {text!r} is no option of sbatch", remedy="such as --slurm partition=long")
        found[name.replace("-", "_")] = value
    return found


def _look(fleet: Fleet, as_json: bool, *, keep: bool) -> None:
    from trtllm_builder.ci.follow import Follower
    from trtllm_builder.ci.seen import fleet_json
    from trtllm_builder.cli.fleet_view import exit_code, table

    seen = Follower(fleet, keep=keep, note=lambda text: None).look()
    if as_json:
        say(fleet_json(fleet, seen))
    else:
        for line in table(fleet, seen):
            say(line)
    if not all(one.phase == "over" for one in seen):
        raise typer.Exit(_RUNNING)
    raise typer.Exit(exit_code(seen))


def _follow(fleet: Fleet, as_json: bool, notify: str | None) -> None:
    import os

    from trtllm_builder.ci.follow import Follower
    from trtllm_builder.ci.notify import notify as tell
    from trtllm_builder.ci.seen import fleet_json
    from trtllm_builder.cli.fleet_view import choose_view, exit_code, table

    with choose_view(as_json) as view:
        follower = Follower(fleet, keep=True, note=view.note)
        seen = []
        try:
            for seen in follower.follow(0.5 if fleet.kind == "local" else 3.0):
                view.show(fleet, seen)
        except KeyboardInterrupt:
            view.note(f"the jobs go on; trtllm-build fleet attach {fleet.identifier} follows them again")
            raise
    results = [one.result for one in seen if one.result is not None]
    problem = tell(notify, results, os.environ) if notify else None
    if as_json:
        if problem:
            _print({"event": "note", "text": problem})
        say(fleet_json(fleet, seen))
    else:
        for line in table(fleet, seen):
            say(line)
        if problem:
            say(f"note: {problem}")
    raise typer.Exit(exit_code(seen))


def _print(event: dict[str, object]) -> None:
    import json

    say(json.dumps({"schema": 1, **event}))
