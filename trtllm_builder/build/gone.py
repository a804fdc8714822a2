"""What became of a run that its workspace does not know."""

from __future__ import annotations

from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.workspace import Workspace, is_tagged


def why_gone(entry: RunEntry) -> tuple[str, str]:
    """What there is to say, and what can be done."""
    root, run = entry.workspace, entry.identifier
    workspace = Workspace(root)
    again = f"trtllm-build --profile {entry.profile}"
    elsewhere = "if it was moved, `trtllm-build resume --workspace ITS-NEW-PLACE` goes on there"
    try:
        known = workspace.journal.last_run() is not None
        what = damage(workspace)
    except OSError as error:
        return (
            f"what became of run {run} is unknown: {error.filename or root} cannot be read ({error.strerror})",
            f"put that right, and nothing is lost; {elsewhere}",
        )
    if what:
        return (
            f"run {run} cannot be gone on with: {what}",
            f"{again} --workspace {root} starts another run there, which keeps what was compiled",
        )
    if known:
        return (
            f"nothing is left of run {run}: another one was started anew in {root}",
            f"trtllm-build resume --workspace {root} goes on with that one",
        )
    return f"nothing is left of run {run}: there is no workspace {root}", f"{elsewhere}; {again} starts another one"


def damage(workspace: Workspace) -> str:
    """What is wrong when a build left a workspace and its journal tells of no run; else nothing. Raises OSError."""
    made = is_tagged(workspace.root) and (workspace.source.exists() or workspace.build.exists())
    if not made or workspace.journal.last_run() is not None:
        return ""
    file = workspace.journal_file
    rest = "is damaged: no line of it tells of a run" if file.exists() else "is gone"
    return f"the workspace {workspace.root} is there, but {file} {rest}"
