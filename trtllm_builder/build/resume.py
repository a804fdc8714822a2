"""Going on with a run that stopped, wherever and however, with the request that it was started with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from trtllm_builder.build.distrust import is_unconfigured
from trtllm_builder.build.edits import find_edits
from trtllm_builder.build.gone import damage, why_gone
from trtllm_builder.build.journal import Journal, Json
from trtllm_builder.build.left import as_asked, as_left
from trtllm_builder.build.observer import Observer
from trtllm_builder.build.pipeline import Finished, build
from trtllm_builder.build.registry import RunEntry, find, read_registry, register
from trtllm_builder.build.state import run_state, run_states
from trtllm_builder.build.status import finished
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.plan.request import Asked, Request, make_request


def choose(run: str | None, environ: Mapping[str, str], workspace: Path | None = None) -> RunEntry:
    """The run of that name; without one the newest that did not finish, else the newest. With ``workspace`` the journal
    there is asked, which also knows a run of another user or of a home that is lost. Raises UsageError."""
    if workspace is not None:
        return _of_workspace(run, workspace)
    if run is not None:
        return find(run, environ)
    entries = read_registry(environ).entries
    known = list(zip(entries, run_states(entries), strict=True))
    for wanted in (("failed", "interrupted", "died"), ("running",), ("done",)):
        for entry, state in known:
            if state.state in wanted:
                return entry
    return find(None, environ)


def resume(entry: RunEntry, observer: Observer, environ: Mapping[str, str], *, jobs: int | None = None) -> Finished:
    """Go on with the run; with ``jobs`` with as many compilers at once. A run that finished, and of which nothing
    changed since, is only looked at.

    Raises HostError when the run is alive, UsageError when its workspace is gone or it cannot be asked for again, and
    what :func:`build` raises.
    """
    started = time.monotonic()
    state = run_state(entry)
    if state.state == "running" and state.supervisor is not None:
        raise HostError(
            f"run {entry.identifier} is still going on, as process {state.supervisor.pid}",
            remedy=f"trtllm-build attach {entry.identifier} shows it, stop {entry.identifier} ends it",
        )
    if state.state == "gone":
        what, remedy = why_gone(entry)
        raise UsageError(what, remedy=remedy)
    asked = replace(Asked.from_json(entry.request), workspace=entry.workspace)
    request = make_request(asked if jobs is None else replace(asked, jobs=jobs), environ)
    journal = Workspace(entry.workspace).journal
    changed = _changed_since(entry, request, journal)
    if changed is None:
        with suppress(OSError):
            # The user's list of runs may have lost it.
            register(entry, environ)
        return replace(finished(state), kept=True, seconds=time.monotonic() - started)
    if changed:
        observer.note(f"run {entry.identifier} was finished; changed since: {', '.join(changed)}")
    return build(request, observer, run_id=entry.identifier)


def _changed_since(entry: RunEntry, request: Request, journal: Journal) -> list[str] | None:
    """What is not as the run left it; None when all is, so that nothing has to be done, and empty when it did not
    finish or another run used its workspace since."""
    events = journal.events()
    if not events or events[-1]["event"] != "done" or events[-1].get("id") != entry.identifier:
        return []
    left: Json = events[-1].get("left") or {}
    record = next((event["result"] for event in reversed(events) if event.get("stage") == "record"), None)
    if record is None:
        return []
    edits = find_edits(Workspace(entry.workspace), request.environ)
    now = {**as_asked(request), **as_left(record, edits)}
    changed = [name for name in {**left, **now} if left.get(name) != now.get(name)]
    if is_unconfigured(Workspace(entry.workspace).build):
        changed.append("the build directory's configuration")
    was = (journal.last_run() or {}).get("plan", {}).get("workspace", {}).get("value")
    if was != str(entry.workspace):
        changed.append("the place of the workspace")
    return changed or None


def _of_workspace(run: str | None, workspace: Path) -> RunEntry:
    root = workspace.expanduser().absolute()
    last = Journal(root / "journal.jsonl").last_run(run)
    if last is None:
        if broken := damage(Workspace(root)):
            raise UsageError(
                broken,
                remedy=f"trtllm-build --profile NAME --workspace {root} starts another run there, which keeps what was "
                "compiled",
            )
        what = f"no run {run!r} was" if run else "no run was ever"
        raise UsageError(f"{what} started in the workspace {root}", remedy="`trtllm-build runs` shows where runs are")
    return RunEntry(last["id"], last["plan"]["profile"], root, last.get("request") or {}, last["time"])
