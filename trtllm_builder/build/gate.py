"""The gate around upstream's build: its client in the workspace, and the broker while compilers run."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from trtllm_builder.build.judge import BuildJudge
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.run import Run
from trtllm_builder.gate.broker import Broker
from trtllm_builder.gate.budget import BudgetReader
from trtllm_builder.gate.decisions import Decisions
from trtllm_builder.gate.job import Killed
from trtllm_builder.gate.launcher import CLIENT, LOST, install_client, set_slots
from trtllm_builder.gate.policy import Policy
from trtllm_builder.host.kills import oom_groups
from trtllm_builder.plan.peaks import add_peaks, peaks_path, read_peaks

PEAKS = "peaks.json"
"""Beside a run's logs: what its compilers took, in all its starts (schema ``learned.json``)."""


def prepare_gate(run: Run) -> Path:
    """The client, which every build has before its compilers: whether it asks is decided anew each time, and a build
    that is gone on with another way compiles nothing again for it. Raises OSError."""
    directory = run.workspace.gate
    install_client(directory, run.environment)
    set_slots(directory, run.plan.gate.slots if run.plan.gate.on else 0)
    return directory / CLIENT


class Gate:
    """Serves while upstream builds, where the plan has a gate. ``environment`` is what the build gets to know of it."""

    def __init__(self, run: Run, client: Path) -> None:
        self._run = run
        self._exits = ExitStack()
        self._broker: Broker | None = None
        self._told = False
        on = run.plan.gate.on
        self.environment = {"CCACHE_PREFIX": str(client)} if on and run.plan.ccache else {}
        self._known = peaks_path(run.plan.profile, run.material.request.environ)
        known, fault = read_peaks(self._known)
        if fault and on:
            run.observer.note(fault)
        self._judge = BuildJudge(run.workspace.root, run.environment.get("PATH", ""), known)

    def __enter__(self) -> Gate:
        run = self._run
        if not run.plan.gate.on:
            return self
        policy = Policy(slots=run.plan.jobs.cores)
        if groups := oom_groups():
            policy = policy.careful()
            run.observer.note(
                f"memory.oom.group in {groups[0]} has the kernel kill everything there when it kills one compiler: "
                "none is let in on the chance that peaks do not meet"
            )
        broker = Broker(
            run.workspace.gate,
            run.log_directory,
            policy=policy,
            judge=self._judge,
            read_budget=BudgetReader(run.plan.jobs.reserve),
        )
        try:
            self._broker = self._exits.enter_context(broker)
        except OSError as error:
            self._say(f"the gate cannot be opened ({error.strerror})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()
        with suppress(OSError):
            # Nobody is left who would ask.
            set_slots(self._run.workspace.gate, 0)
        # Also of a build that failed: what was measured was measured.
        learned = self._judge.learned
        if learned.entries:
            try:
                add_peaks(self._run.log_directory / PEAKS, learned, measured=True)
                add_peaks(self._known, learned, measured=True)
            except OSError as problem:
                self._run.observer.note(f"what compilers took is not kept for later builds: {problem}")

    @property
    def killed(self) -> tuple[Killed, ...]:
        """Compilers that were killed for memory, and again when they ran alone."""
        return self._broker.killed if self._broker else ()

    @property
    def mended(self) -> int:
        """How many compilers were killed for memory and tried once more."""
        return self._broker.again if self._broker else 0

    @property
    def lost(self) -> tuple[str, ...]:
        """Compilers whose client was killed."""
        return self._broker.lost if self._broker else ()

    def tick(self, progress: Progress) -> Progress:
        """The progress with what the gate knows; a broker that is gone is told of once."""
        broker = self._broker
        if broker is None:
            return progress
        if broker.failure is not None:
            self._say(f"the gate failed ({type(broker.failure).__name__}: {broker.failure})")
        elif (self._run.workspace.gate / LOST).exists():
            self._say("compilers got no answer at the gate")
        return replace(progress, waiting=broker.short)

    def waiting(self) -> frozenset[int]:
        """The processes that wait at the gate now."""
        return self._broker.waiting if self._broker else frozenset()

    def waited(self, output: str) -> float:
        """How many seconds of the step that made ``output`` were spent at the gate; it is asked for once."""
        return self._broker.waited.pop(output, 0.0) if self._broker else 0.0

    def _say(self, what: str) -> None:
        if not self._told:
            self._told = True
            decisions = Decisions(self._run.log_directory)
            decisions.note("lost")
            decisions.flush()
            self._run.observer.note(
                f"{what}: without it no more than {self._run.plan.gate.slots} compilers run at once"
            )
