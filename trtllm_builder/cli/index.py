"""``trtllm-build index``: list, yank, keep, prune and check an index on a disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.commands import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from trtllm_builder.index.model import Wheel
    from trtllm_builder.publish.repair import Repaired

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="What a package index holds, and what may leave it.", **SETTINGS
)

Root = Annotated[Path, typer.Argument(metavar="DIR", help="The index: what `publish --index DIR` made.")]
Which = Annotated[str, typer.Argument(metavar="WHEEL|NAME==VERSION", help="A file name, or all files of a version.")]
_DONE = {
    "yank": ("yanked", "yanked already"),
    "unyank": ("unyanked", "is not yanked"),
    "keep": ("kept", "kept already"),
    "unkeep": ("may be pruned", "is not kept"),
}
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@app.command("list")
def list_wheels(root: Root, as_json: Json = False) -> None:
    """What the index holds, by project and version."""
    from trtllm_builder.index.model import STANDINGS
    from trtllm_builder.index.opening import open_index
    from trtllm_builder.units import format_size

    index = open_index(root).read()
    wheels = [wheel for project in index.projects.values() for wheel in project]
    if as_json:
        _echo("list", root, wheels=[_document(wheel) for wheel in wheels])
        return
    for wheel in wheels:
        remarks = [f"{format_size(wheel.size)}, {wheel.uploaded[:10]}"]
        if wheel.standing != "verified":
            remarks.append(STANDINGS[wheel.standing])
        if wheel.yanked is not None:
            remarks.append(f"yanked: {wheel.yanked}" if wheel.yanked else "yanked")
        if wheel.keep is not None:
            remarks.append(f"kept for {wheel.keep}")
        if wheel.lock and wheel.lock.kept:
            remarks.append(f"kept for the lock {wheel.lock.digest[:12]}")
        typer.echo(wheel.filename)
        typer.echo(f"    {'; '.join(remarks)}")
    if not wheels:
        typer.echo("it holds no wheels")


@app.command()
def yank(
    root: Root,
    which: Which,
    reason: Annotated[str, typer.Option("--reason", help="Why; installers show it.")] = "",
    as_json: Json = False,
) -> None:
    """Withdraw a wheel.

    Installers then pass it over, unless somebody asks for exactly that version; whoever has it keeps it.
    """
    from trtllm_builder.publish.change import yank as change

    _show("yank", change, root, which, reason, as_json)


@app.command()
def unyank(root: Root, which: Which, as_json: Json = False) -> None:
    """Put a withdrawn wheel back."""
    from trtllm_builder.publish.change import yank as change

    _show("unyank", change, root, which, None, as_json)


@app.command()
def keep(
    root: Root,
    which: Which,
    reason: Annotated[str, typer.Option("--for", metavar="WHAT", help="Such as a release's name; prune says it.")],
    as_json: Json = False,
) -> None:
    """Hold a wheel against prune, for a release."""
    from trtllm_builder.publish.change import keep as change

    _show("keep", change, root, which, reason, as_json)


@app.command()
def unkeep(root: Root, which: Which, as_json: Json = False) -> None:
    """Let prune have a wheel that was kept, or was built --locked."""
    from trtllm_builder.publish.change import keep as change

    _show("unkeep", change, root, which, None, as_json)


def _show(
    command: str,
    change: Callable[..., tuple[tuple[Wheel, ...], bool]],
    root: Path,
    which: str,
    reason: str | None,
    as_json: bool,
) -> None:
    from trtllm_builder.build.signals import interruptible

    with interruptible():
        wheels, changed = change(root, which, reason, waiting=_waiting)
    if as_json:
        _echo(command, root, changed=changed, wheels=[_document(wheel) for wheel in wheels])
        return
    done, unchanged = _DONE[command]
    for wheel in wheels:
        typer.echo(f"{done if changed else unchanged}  {wheel.filename}")


@app.command()
def prune(
    root: Root,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=1, help="How many good ones to keep of each profile.")
    ],
    locks: Annotated[
        list[Path] | None,
        typer.Option("--lock", metavar="FILE", help="Also keep what this lock file names. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove all but the last good wheels of each profile, of each variant and Python that it built.

    Good is what was imported and is not withdrawn. Last are those of the highest versions, and of one version those of
    the last commits; and so are those published last, whatever their version. What is newer stays, good or not.

    Never goes: what `index keep` holds, such as releases; what was built --locked and not published --nightly; what a
    --lock names; what no record says the profile of; other projects' wheels.
    """
    from trtllm_builder.build.signals import interruptible
    from trtllm_builder.publish.change import prune as change
    from trtllm_builder.units import format_size

    with interruptible():
        choice = change(root, keep, locks or (), dry_run=dry_run, waiting=_waiting)
    if as_json:
        kept = [{"name": one.wheel.filename, "why": one.why} for one in choice.kept]
        _echo("prune", root, removed=not dry_run, gone=[_document(wheel) for wheel in choice.gone], kept=kept)
        return
    for wheel in choice.gone:
        typer.echo(f"{'would go' if dry_run else 'removed'}  {wheel.filename}")
    for one in choice.kept:
        typer.echo(f"stays     {one.wheel.filename}: {one.why}")
    going = format_size(sum(wheel.size for wheel in choice.gone))
    typer.echo(f"{_count(len(choice.gone))}, {going}" if choice.gone else "nothing goes")


@app.command()
def check(
    root: Root,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Make pages, links and the marker anew from files/ and what pages are left; no wheel is removed.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is not as it should be.

    Reads every file, hash and page of the index. Exit 8 when something is wrong, with --repair when something stays so.
    """
    from dataclasses import asdict

    from trtllm_builder.build.signals import interruptible
    from trtllm_builder.errors import PublishError
    from trtllm_builder.index import check as checking
    from trtllm_builder.index.opening import open_index
    from trtllm_builder.publish.inspect import inspect
    from trtllm_builder.publish.repair import Repaired
    from trtllm_builder.publish.repair import repair as mend

    with interruptible():
        if repair:
            done = mend(root, waiting=_waiting)
        else:
            index, found = checking.check(open_index(root), inspect, waiting=_waiting)
            done = Repaired(index, (), found)
    if as_json:
        mended = [asdict(one) for one in done.mended]
        problems = [asdict(problem) for problem in done.problems]
        _echo("check", root, wheels=len(done.index.wheels), mended=mended, problems=problems)
    else:
        _show_check(done)
    if done.problems:
        raise typer.Exit(PublishError.exit_code)


def _show_check(done: Repaired) -> None:
    mended: dict[str, list[str]] = {}
    for one in done.mended:
        mended.setdefault(one.what, []).append(one.path)
    for what, (first, *others) in mended.items():
        typer.echo(f"mended: {first}{f' and {len(others)} more' if others else ''}: {what}")
    for problem in done.problems:
        typer.echo(f"{problem.path} {problem.what}")
    advice = "; --repair mends what it can" if any(problem.repairable for problem in done.problems) else ""
    count = f"{len(done.problems)} problem{'s' * (len(done.problems) != 1)}"
    typer.echo(f"{_count(len(done.index.wheels))}, {f'{count}{advice}' if done.problems else 'all as it should be'}")
    if any(not problem.repairable and ".whl" in problem.path for problem in done.problems):
        typer.echo("a wheel, or what lies beside it, is restored by publishing the same files again")


def _document(wheel: Wheel) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(wheel), "variant": wheel.variant, "path": wheel.path}


def _count(wheels: int) -> str:
    return f"{wheels} wheel{'s' * (wheels != 1)}"


def _waiting() -> None:
    typer.echo("somebody else is publishing; waiting", err=True)


def _echo(command: str, root: Path, **fields: object) -> None:
    typer.echo(json.dumps({"schema": 1, "command": command, "index": str(root), **fields}, indent=2))
