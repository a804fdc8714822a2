"""The world that a run's upstream is built in, for a person to step into: environment, directories, jobs.

The journal has it as an ``environment`` event, written once tools and source are there. What passes from the host (the
way to the network) is not in it: that is taken from whoever steps in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trtllm_builder.build.gone import why_gone
from trtllm_builder.build.journal import Json
from trtllm_builder.build.registry import RunEntry
from trtllm_builder.build.run import Run
from trtllm_builder.build.state import run_state
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.plan.environment import FROM_HOST, from_host
from trtllm_builder.text import redact


@dataclass(frozen=True)
class World:
    """``environment`` is the whole of it; ``left_out`` are variables whose values were not kept, for they held
    credentials."""

    entry: RunEntry
    environment: dict[str, str]
    jobs: int
    left_out: tuple[str, ...]

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.entry.workspace)

    def to_json(self) -> Json:
        return {
            "run": self.entry.identifier,
            "source": str(self.workspace.source),
            "build": str(self.workspace.build),
            "jobs": self.jobs,
            "environment": self.environment,
            "left_out": list(self.left_out),
        }


def note_world(run: Run) -> None:
    """Write down what :func:`read_world` reads."""
    ours = [setting for setting in run.plan.environment if setting.origin != FROM_HOST]
    run.journal.append(
        "environment",
        run=run.identifier,
        jobs=run.plan.jobs.count,
        variables={setting.name: setting.value for setting in ours if redact(setting.value) == setting.value},
        left_out=[setting.name for setting in ours if redact(setting.value) != setting.value],
    )


def read_world(entry: RunEntry, environ: Mapping[str, str]) -> World:
    """Raises HostError while the run is alive, UsageError when it has no environment yet, or none any more."""
    state = run_state(entry)
    if state.state == "running" and state.supervisor is not None:
        raise HostError(
            f"run {entry.identifier} is still going on, as process {state.supervisor.pid}, and two would be at one "
            "checkout",
            remedy=f"wait for it, or trtllm-build stop {entry.identifier}; `status` and `logs` look without touching",
        )
    events = Workspace(entry.workspace).journal.events()
    found = [event for event in events if event["event"] == "environment" and event.get("run") == entry.identifier]
    if state.state == "gone":
        what, remedy = why_gone(entry)
        raise UsageError(what, remedy=remedy)
    if not found:
        raise UsageError(
            f"run {entry.identifier} has no environment: it stopped before tools and source were there",
            remedy=f"trtllm-build resume {entry.identifier} goes on with it",
        )
    noted = found[-1]
    host = {setting.name: setting.value for setting in from_host(environ)}
    return World(entry, {**host, **noted["variables"]}, int(noted["jobs"]), tuple(noted["left_out"]))
