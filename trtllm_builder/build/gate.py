"""The gate around upstream's build: its client in the workspace, and the broker while compilers run."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from trtllm_builder.build.progress import Progress
from trtllm_builder.build.run import Run
from trtllm_builder.gate.broker import Broker, Task
from trtllm_builder.gate.launcher import CLIENT, LOST, install_client, set_slots
from trtllm_builder.gate.policy import Budget, Policy, Weight
from trtllm_builder.host.memory import read_memory


def prepare_gate(run: Run) -> Path:
    """The client, which every build has before its compilers: whether it asks is decided anew each time, and a build
    that is gone on with another way compiles nothing again for it. Raises OSError."""
    directory = run.workspace.gate
    install_client(directory, run.environment)
    set_slots(directory, run.plan.gate.slots if run.plan.gate.on else 0)
    return directory / CLIENT


class Gate:
    """Serves while upstream builds. ``environment`` is what the build gets to know of it."""

    def __init__(self, run: Run, client: Path) -> None:
        self._run = run
        self._exits = ExitStack()
        self._broker: Broker | None = None
        self._told = False
        on = run.plan.gate.on
        self.environment = {"CCACHE_PREFIX": str(client)} if on and run.plan.ccache else {}

    def __enter__(self) -> Gate:
        plan = self._run.plan
        if not plan.gate.on:
            return self
        weight = Weight(plan.jobs.per_job, "build.job_memory")
        try:
            self._broker = self._exits.enter_context(
                Broker(
                    self._run.workspace.gate,
                    self._run.log_directory,
                    policy=Policy(slots=plan.jobs.cores),
                    weigh=lambda argv, directory: Task(argv[-1] if argv else "", "compile", weight),
                    read_budget=lambda now: Budget(read_memory().allowed, plan.jobs.reserve),
                )
            )
        except OSError as error:
            self._say(f"the gate cannot be opened ({error.strerror})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()
        # What is left of the build asks nobody.
        with suppress(OSError):
            set_slots(self._run.workspace.gate, 0)

    def tick(self, progress: Progress) -> Progress:
        """The progress with what the gate knows; a broker that is gone is told of once."""
        broker = self._broker
        if broker is None:
            return progress
        if broker.failure is not None:
            self._say(f"the gate failed ({type(broker.failure).__name__}: {broker.failure})")
        elif (self._run.workspace.gate / LOST).exists():
            self._say("compilers got no answer at the gate")
        return replace(progress, waiting=len(broker.waiting))

    def waiting(self) -> frozenset[int]:
        """The processes that wait at the gate now."""
        return self._broker.waiting if self._broker else frozenset()

    def waited(self, output: str) -> float:
        """How many seconds of the step that made ``output`` were spent at the gate; it is asked for once."""
        return self._broker.waited.pop(output, 0.0) if self._broker else 0.0

    def _say(self, what: str) -> None:
        if not self._told:
            self._told = True
            self._run.observer.note(
                f"{what}: without it no more than {self._run.plan.gate.slots} compilers run at once"
            )
