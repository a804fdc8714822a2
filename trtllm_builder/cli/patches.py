"""``trtllm-build patches``: list the sets, check a checkout against them, apply them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.commands import SETTINGS

if TYPE_CHECKING:
    from trtllm_builder.patching.results import PatchPlan
    from trtllm_builder.patching.sets import PatchSet
    from trtllm_builder.upstream.audit.model import MpiAudit

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Patch sets: what each would change in a checkout.", **SETTINGS
)

Tree = Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="A TensorRT-LLM checkout.")]
Names = Annotated[
    list[str],
    typer.Option("--patch", "--set-name", metavar="NAME", help="A set; may be repeated. Without it: all shipped sets."),
]
Dirs = Annotated[
    list[Path],
    typer.Option("--patch-dir", metavar="DIR", exists=True, file_okay=False, help="Look for sets here first."),
]
Facts = Annotated[
    list[str],
    typer.Option(
        "--fact", metavar="NAME=VALUE", help="A CMake option of the build, for sets that ask: BUILD_DEEP_EP=OFF."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Diff = Annotated[bool, typer.Option("--diff", help="Only the unified diff, for git apply or patch -p1.")]


@app.command("list")
def list_sets(patch_dir: Dirs = [], as_json: Json = False) -> None:  # noqa: B006
    """Which patch sets there are, and where each is found."""
    from trtllm_builder.errors import BuilderError, ProfileError
    from trtllm_builder.patching.sets import find_sets, load_set, set_dirs

    dirs = set_dirs(patch_dir)
    found, faults = [], []
    for name in find_sets(dirs):
        try:
            found.append(load_set(name, dirs))
        except BuilderError as fault:
            faults.append(fault)
    _show_sets(found, as_json)
    if faults:
        raise ProfileError(
            faults[0].what, remedy=faults[0].remedy, where=faults[0].where, others=tuple(faults[1:])
        ) from None


def _show_sets(found: list[PatchSet], as_json: bool) -> None:
    if as_json:
        sets = [
            {"name": one.name, "path": str(one.path), "digest": one.digest, "description": one.description}
            for one in found
        ]
        _echo_json({"command": "list", "sets": sets})
        return
    for one in found:
        typer.echo(f"{one.name}  {one.path}\n    {one.description}")


@app.command()
def check(
    tree: Tree,
    names: Names = [],  # noqa: B006
    patch_dir: Dirs = [],  # noqa: B006
    facts: Facts = [],  # noqa: B006
    as_json: Json = False,
    diff: Diff = False,
) -> None:
    """What the sets would change in DIR, or that they do not fit it (exit status 5). Writes nothing."""
    _show(_plan(tree, names, patch_dir, facts), "check", as_json, diff)


@app.command()
def apply(
    tree: Tree,
    names: Names = [],  # noqa: B006
    patch_dir: Dirs = [],  # noqa: B006
    facts: Facts = [],  # noqa: B006
    as_json: Json = False,
    diff: Diff = False,
) -> None:
    """Change DIR as the sets say: all of it or nothing. A second time changes nothing."""
    from trtllm_builder.build.signals import interruptible
    from trtllm_builder.patching import sets

    plan = _plan(tree, names, patch_dir, facts)
    with interruptible():
        result = sets.apply(plan, tree)
    _show(result.plan, "apply", as_json, diff)


@app.command()
def audit(
    target: Annotated[
        Path, typer.Argument(metavar="DIR|WHEEL", exists=True, help="A checkout, a site-packages directory or a wheel.")
    ],
    names: Names = [],  # noqa: B006
    patch_dir: Dirs = [],  # noqa: B006
    facts: Facts = [],  # noqa: B006
    multi_device: Annotated[
        bool | None,
        typer.Option(
            "--multi-device/--single-device",
            help="What ENABLE_MULTI_DEVICE is; without this, 0, or for a wheel whether its libraries need libmpi.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Will `import`, `LLM(...)` or `trtllm-serve` touch MPI, and which set closes it? Exit 5 when something stays open
    (7 for a wheel)."""
    from trtllm_builder.errors import PatchError, UsageError, VerifyError
    from trtllm_builder.patching.mpi_audit import audit_tree, audit_wheel

    sets = _sets(names, patch_dir)
    if target.is_dir():
        found = audit_tree(target, sets, _facts(facts), bool(multi_device))
    elif target.is_file():
        found = audit_wheel(target, sets, multi_device)
    else:
        raise UsageError(f"{target} is neither a directory nor a file", remedy="name a checkout or a wheel")
    if as_json:
        _echo_json({"command": "audit", "target": str(target), **found.to_json()})
    else:
        _show_audit(found)
    remedy = "the list says where, and how one gets there"
    if target.is_dir() and found.open:
        raise PatchError("no patch set closes every way to MPI here", remedy=remedy)
    if not target.is_dir() and not found.free:
        raise VerifyError("this wheel would touch MPI, or that could not be ruled out", remedy=remedy)


def _show_audit(found: MpiAudit) -> None:
    from trtllm_builder.text import clean

    named = {"import": "import tensorrt_llm", "LLM": "LLM(...) on one GPU", "serve": "trtllm-serve serve"}
    is_open = False
    for entry in found.entries:
        is_open |= entry.open
        state = "" if entry.verdict in ("free of MPI", "absent") else ", open" if is_open else ", closed by a set"
        typer.echo(f"{named[entry.entry]}: {entry.verdict}{state} ({entry.modules} modules)")
        for touch in entry.touches:
            closed = f"; closed by {touch.closed_by}" if touch.closed_by else "; NOT closed by a shipped set"
            typer.echo(clean(f"    {touch.place} {touch.what} ({touch.standing.word}){closed}"))
            if touch.condition:
                typer.echo(clean(f"        under: {touch.condition}"))
            if touch.trail:
                typer.echo(clean(f"        by way of {' > '.join(map(str, touch.trail[-5:]))}"))
        for unknown in entry.unknown:
            typer.echo(clean(f"    {unknown.place} unknown shape: {unknown.what}"))
    if found.guarded:
        typer.echo("does not run:")
    for guarded in found.guarded:
        typer.echo(clean(f"    {guarded.place} {guarded.what}, guarded by: {guarded.condition}"))
    for note in found.notes:
        typer.echo(clean(f"note: {note}"))
    for assumption in found.assumptions:
        typer.echo(clean(f"assumed: {assumption}"))
    typer.echo(clean(found.end))


def _plan(tree: Path, names: list[str], patch_dir: list[Path], facts: list[str]) -> PatchPlan:
    from trtllm_builder.errors import PatchError, UsageError
    from trtllm_builder.patching import sets

    chosen = _sets(names, patch_dir)
    if any(one.name == "single-device" for one in chosen):
        _refuse_prebuilt(tree)
    known = _facts(facts)
    try:
        return sets.check(chosen, tree, known)
    except PatchError:
        # What is no checkout fits no set: that is the sentence, not that the sets are to be mended.
        if (tree / "scripts" / "build_wheel.py").exists() or (tree / "tensorrt_llm").exists() or patch_dir:
            raise
        raise UsageError(
            f"{tree} is not a TensorRT-LLM checkout: it has neither scripts/build_wheel.py nor tensorrt_llm/",
            remedy="name the directory that holds both" + ("" if any(tree.iterdir()) else "; this one is empty"),
        ) from None


def _refuse_prebuilt(tree: Path) -> None:
    """No patch takes MPI out of an archive: before 0.19 such a tree is refused, with exit status 4."""
    from trtllm_builder.upstream.probe import probe

    if (tree / "scripts" / "build_wheel.py").is_file():
        refusal = probe(tree).refusal()
        if refusal is not None:
            raise refusal


def _sets(names: list[str], patch_dir: list[Path]) -> list[PatchSet]:
    from trtllm_builder.data import shipped
    from trtllm_builder.patching.sets import find_sets, load_set, set_dirs

    dirs = set_dirs(patch_dir)
    return [load_set(name, dirs) for name in names or find_sets([shipped("patches")])]


def _facts(texts: list[str]) -> dict[str, str]:
    from trtllm_builder.errors import UsageError

    facts: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise UsageError(f"--fact {text!r} is not NAME=VALUE", remedy="write --fact BUILD_DEEP_EP=OFF")
        if facts.setdefault(name, value) != value:
            raise UsageError(f"--fact {name} is given twice, as {facts[name]} and as {value}")
    return facts


def _show(plan: PatchPlan, command: str, as_json: bool, diff: bool) -> None:
    from trtllm_builder.text import clean

    if as_json:
        _echo_json({"command": command, **plan.to_json()})
        return
    if diff:
        # A checkout's own bytes: raw for a pipe, harmless on a terminal.
        if sys.stdout.isatty():
            typer.echo(clean(plan.diff), nl=False)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(plan.diff.encode("utf-8", "surrogateescape"))
        return
    for one in plan.sets:
        typer.echo(f"{one.name}: {one.status} ({clean(one.reason)})")
        idle: dict[str, list[str]] = {}
        for operation in one.operations:
            if operation.status == "not needed":
                idle.setdefault(operation.reason, []).append(operation.id)
            else:
                typer.echo(f"    {operation.id}: {operation.status} ({clean(operation.reason)})")
        for reason, ids in idle.items():
            typer.echo(f"    {', '.join(ids)}: not needed ({clean(reason)})")
    done = {"check": "to change", "apply": "changed"}[command]
    typer.echo(f"{len(plan.changes)} files {done}" + "".join(f"\n    {clean(change.path)}" for change in plan.changes))


def _echo_json(document: dict[str, object]) -> None:
    typer.echo(json.dumps({"schema": 1, **document}, indent=2))
