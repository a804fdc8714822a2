"""Preflight, and the stages that make the source: fetch and patch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from trtllm_builder.build.downloads import obtain_downloads, obtain_source
from trtllm_builder.build.edits import (
    find_edits,
    is_patched,
    is_patched_otherwise,
    is_unaccounted,
    keep_times,
    note_edits,
    note_patching,
    patches_key,
    take_back,
    told,
)
from trtllm_builder.build.journal import Json
from trtllm_builder.build.lost import recover, settle
from trtllm_builder.build.run import Run, named_digests
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError, PatchError, ProfileError, SourceError, UsageError
from trtllm_builder.patching.version_label import labelled_changes
from trtllm_builder.patching.write import write_all
from trtllm_builder.plan.make import plan_checkout
from trtllm_builder.plan.model import Plan
from trtllm_builder.process import run as run_process
from trtllm_builder.source.digest import tree_digest
from trtllm_builder.source.edits import uncommitted
from trtllm_builder.source.model import Checkout, Existing


def preflight(plan: Plan) -> None:
    """Raises HostError naming everything that this host lacks, before anything is written, and UsageError for a
    workspace or an output directory that cannot be one."""
    Workspace(Path(plan.workspace.value)).check_ours()
    _check_out(Path(plan.out))
    if plan.lacks:
        first, *others = (HostError(lack.what, remedy="\n  ".join(lack.steps)) for lack in plan.lacks)
        raise HostError(first.what, remedy=first.remedy, others=tuple(others))


def _check_out(out: Path) -> None:
    """The wheel is copied there after hours of compiling: too late to learn that it cannot be."""
    nearest = out
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(
            f"--out {out}: {nearest} is {'not writable' if nearest.is_dir() else 'not a directory'}",
            remedy="give a directory of yours with --out",
        )


def fetch_inputs(run: Run) -> dict[str, object]:
    source = run.plan.source
    if source.directory:
        return {"the directory": source.directory, "what is in the directory": tree_digest(Path(source.directory))}
    # A new run asks the server again what a ref names now; a resumed one has its run's name and goes on with that.
    moment = {} if source.commit else {"what the ref names now": run.identifier}
    return {"the source's URL": source.url, "the ref": source.ref, "the commit": source.commit, **moment}


def fetch_lost(run: Run, result: Json) -> str:
    if is_unaccounted(run.workspace, run.material.request.environ):
        return "the journal does not know the patches in it"
    if "archives" not in result:
        return "an earlier version did not write down which archives CMake downloads"
    wanted = (run.workspace.source / "scripts" / "build_wheel.py", run.workspace.git_config)
    return next((f"{path} is gone" for path in wanted if not path.is_file()), "")


def do_fetch(run: Run) -> Json:
    request = run.material.request
    if run.rebuild:
        for directory in (run.workspace.originals, run.workspace.build, run.workspace.source):
            if directory.exists():
                shutil.rmtree(directory)
    else:
        _make_way(run)
    with run.log("fetch").open("a") as record:

        def log(line: str) -> None:
            record.write(line + "\n")
            record.flush()

        existing: Existing = "reset" if run.rebuild else "keep"
        caches = Path(run.plan.caches)
        checkout = obtain_source(request, run.workspace, caches, existing=existing, log=log)
        downloads = obtain_downloads(request, run.workspace, caches, run.plan.switches, checkout.served_by, log)
    for note in (*checkout.notes, *downloads.notes):
        run.observer.note(note)
    facts = {name: value for name, value in asdict(checkout).items() if name not in ("dirty", "modified")}
    return {
        **facts,
        **downloads.to_json(),
        "path": str(checkout.path),
        "epoch": _epoch(run, checkout),
        "uncommitted": _uncommitted(run),
    }


def _make_way(run: Run) -> None:
    """When another source is wanted, the old one goes: without our patches, and not when it was edited by hand."""
    if is_unaccounted(run.workspace, run.material.request.environ):
        recover(run)
    before = run.journal.last_end("fetch")
    if before is None or before["inputs"] == named_digests(run, fetch_inputs(run)):
        return
    edits = find_edits(run.workspace, run.material.request.environ)
    if edits:
        raise SourceError(
            f"another source is wanted in {run.workspace.root}, and files there were edited by hand: {told(edits)}",
            remedy="keep what you need of them, then begin anew with --rebuild",
        )
    take_back(run.workspace)


def _uncommitted(run: Run) -> dict[str, str]:
    """Files of a --source directory that differ from its own commit: it is built as it stands."""
    if run.material.request.directory is None:
        return {}
    before = run.journal.last_end("fetch")
    if before is not None and is_patched(run.workspace):
        known: dict[str, str] = before["result"]["uncommitted"]
        return known
    return uncommitted(run.workspace.source, run.material.request.environ)


def _epoch(run: Run, checkout: Checkout) -> int | None:
    """The commit's time, seconds since 1970; None for a directory that is no work tree."""
    if not checkout.commit:
        return None
    shown = run_process(
        ["git", "-C", checkout.path, "log", "-1", "--format=%ct", checkout.commit], env=run.environment, timeout=60
    )
    return int(shown.stdout) if shown.ok and shown.stdout.strip().isdigit() else None


def plan_again(run: Run) -> None:
    """Make the plan from the checkout and tools that are there now; the build stops here if it no longer resolves.

    Patches that were made from other sets, or for other options, are taken back first.
    """
    fetched, workspace, request = run.results["fetch"], run.workspace, run.material.request
    if is_patched_otherwise(workspace, patches_key(request)):
        take_back(workspace)
    run.edits = find_edits(workspace, request.environ)
    note_edits(workspace, run.edits)
    refuse_edits(run, run.edits)
    if run.edits:
        run.observer.note(f"edited by hand, so that the wheel is marked dirty: {told(run.edits)}")
    try:
        plan, run.material = plan_checkout(
            request, workspace.source, commit=fetched["commit"] or None, epoch=fetched["epoch"]
        )
    except PatchError as error:
        raise _blame_edits(error, run) from None
    run.plan = replace(plan, source=replace(plan.source, edited=tuple(run.edits)))
    # The checkout may want what the catalogue's row did not: TensorRT.
    preflight(run.plan)
    missing = run.material.probe.missing_submodules
    if missing and run.material.probe.has_trap("submodule-update-in-script"):
        raise SourceError(
            f"{len(missing)} submodules are missing ({', '.join(missing[:3])}), and upstream's script would fetch them "
            "itself, unchecked",
            remedy="set source.submodules: true; in a --source directory run 'git submodule update --init --recursive'",
        )
    pointers = run.material.probe.lfs_pointers
    if pointers:
        raise SourceError(
            f"{len(pointers)} files are still Git LFS pointers, the first is {pointers[0]}",
            remedy="install git-lfs and set source.lfs: true; in a --source directory run 'git lfs pull'",
        )


def refuse_edits(run: Run, edits: Mapping[str, str]) -> None:
    """Raises ProfileError when the run is held to a lock, which knows of no edits."""
    if edits and run.material.request.locked is not None:
        raise ProfileError(
            f"this is not what was locked: edited by hand in {run.workspace.root}: {told(edits)}",
            remedy="undo that, give a new directory with --workspace, or begin anew with --rebuild, which throws the "
            "edits away; without --locked a wheel of them is built and marked dirty",
        )


def _blame_edits(error: PatchError, run: Run) -> PatchError:
    """The same error, with the remedy that helps when it is, or may be, at a file that a person changed."""
    edited = {str(run.workspace.source.resolve() / name) for name in run.edits}
    if not edited or (error.where is not None and error.where.path not in edited):
        return error
    remedy = f"edited by hand: {told(run.edits)}; give the patch what it looks for, or begin anew with --rebuild"
    return PatchError(error.what, remedy=remedy, where=error.where, log=error.log, others=error.others)


def patch_inputs(run: Run) -> dict[str, object]:
    return {
        "the source": [run.results["fetch"]["commit"], run.results["fetch"]["digest"]],
        "the version's label": _label(run),
        "the list of patch sets": [patch.name for patch in run.plan.patches],
        **{f"the patch set {patch.name}": patch.digest for patch in run.plan.patches},
        **{option.name: option.value for option in run.plan.switches},
    }


def patch_lost(run: Run, result: Json) -> str:
    """A second look at the same sets: everything that applied must still be there."""
    undone = [patch.name for patch in run.plan.patches if patch.outcome not in ("applied already", "not needed")]
    return f"the sources no longer have all that {' and '.join(undone)} made of them" if undone else ""


def _label(run: Run) -> str:
    return f"{run.plan.label}.dirty" if run.edits else run.plan.label


def do_patch(run: Run) -> Json:
    patches = run.material.patches
    if patches is None:
        raise SourceError("there is no checkout to patch")
    workspace, request = run.workspace, run.material.request
    version, changes = labelled_changes(workspace.source, _label(run), patches.changes)
    note_patching(workspace, patches_key(request), changes, request.environ, run.material.probe)
    if changes:
        write_all(workspace.source, changes)
        keep_times(workspace)
    settle(run)
    run.log("patches").with_suffix(".diff").write_text(patches.diff, encoding="utf-8", errors="surrogateescape")
    return {
        "sets": [
            {"name": one.name, "digest": one.digest, "needed": one.status != "not needed"} for one in patches.sets
        ],
        "digest": patches.digest,
        "version": version,
    }
