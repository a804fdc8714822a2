"""One target of a configured build directory built again, after an edit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.build.distrust import forget_configuration, is_unconfigured
from trtllm_builder.build.edits import find_edits, note_edits
from trtllm_builder.build.journal import Json
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.run import told_as_sentences
from trtllm_builder.build.signals import interruptible
from trtllm_builder.build.state import run_state
from trtllm_builder.build.supervisor import supervise
from trtllm_builder.build.world import World
from trtllm_builder.errors import BuildError, UsageError
from trtllm_builder.process import run as run_process

_SHOWN = 5
# Made by every generator or by CTest and CPack (its book, "Reserved target names": manual cmake-policies(7), CMP0037).
_UTILITIES = frozenset(
    (
        "clean", "help", "depend", "edit_cache", "rebuild_cache", "list_install_components", "local", "strip",
        "install", "package", "package_source", "test", "build.ninja", "uninstall", "distclean",
    )
)  # fmt: skip
_LAST_LINES = 6


@dataclass(frozen=True)
class Rebuilt:
    """``targets`` as they were given to the build tool; ``steps`` is how many commands ran, 0 when all was up to date.
    ``seconds`` is the time that took."""

    targets: tuple[str, ...]
    steps: int
    seconds: float
    log: Path

    def to_json(self) -> Json:
        return {
            "targets": list(self.targets),
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "log": str(self.log),
        }


def retarget(world: World, targets: Sequence[str], *, jobs: int | None, on_line: Callable[[str], None]) -> Rebuilt:
    """Build ``targets`` in the run's build directory: names that CMake gave, or source files, whose objects are meant.

    Raises UsageError for a target that is not there, with those of a similar name, and where nothing is configured;
    HostError when a run is at work in the workspace; BuildError when it fails.
    """
    workspace = world.workspace
    build = workspace.build
    _check_configured(world)
    log = workspace.logs / world.entry.identifier / "retarget.log"
    steps = 0

    def on_progress(progress: Progress, line: str | None) -> None:
        nonlocal steps
        steps = progress.done
        if line is not None:
            last.append(line)
            del last[:-_LAST_LINES]
            on_line(line)

    last: list[str] = []
    with interruptible(), told_as_sentences("retarget"), workspace.locked() as lock:
        log.parent.mkdir(parents=True, exist_ok=True)
        workspace.temporary.mkdir(parents=True, exist_ok=True)
        wanted = _known(world, targets)
        note_edits(workspace, find_edits(workspace, world.environment))
        workspace.journal.append("retarget", of=world.entry.identifier, targets=wanted)
        outcome = supervise(
            ["cmake", "--build", str(build), "--parallel", str(jobs or world.jobs), "--target", *wanted],
            env=world.environment,
            cwd=workspace.source,
            log=log,
            inherit=(lock,),
            on_start=lambda session, start: workspace.journal.append("child", group=session, start=start),
            on_progress=on_progress,
        )
    if outcome.returncode != 0:
        told = "".join(f"\n  {line}" for line in last)
        raise BuildError(f"{' '.join(targets)} could not be built:{told}", log=log, remedy="mend it and try again")
    return Rebuilt(tuple(wanted), steps, outcome.seconds, log)


def _check_configured(world: World) -> None:
    workspace, run = world.workspace, world.entry.identifier
    if not (workspace.build.is_dir() and any(workspace.build.iterdir())) and _is_finished(world):
        raise UsageError(
            f"nothing is configured in {workspace.build}: it was removed after the build",
            remedy=f"trtllm-build --profile {world.entry.profile} --workspace {workspace.root} --rebuild builds again",
        )
    if not (workspace.build / "CMakeCache.txt").is_file() or is_unconfigured(workspace.build):
        damaged = (workspace.build / "CMakeCache.txt").is_file()
        what = "the configuration in {} is damaged" if damaged else "nothing is configured in {}"
        raise UsageError(
            what.format(workspace.build),
            remedy=f"trtllm-build resume {run} configures it again; what is compiled stays",
        )


def _is_finished(world: World) -> bool:
    return run_state(world.entry).state == "done"


def _known(world: World, targets: Sequence[str]) -> list[str]:
    """The targets in the build tool's words. Raises UsageError for those that are not there."""
    shown = run_process(
        ["cmake", "--build", world.workspace.build, "--target", "help"], env=world.environment, timeout=120
    )
    if not shown.ok:
        # Without its cache the compile stage is not taken for done, so that resume mends it.
        forget_configuration(world.workspace.build)
        raise BuildError(
            f"the build directory cannot tell its targets: {shown.last_line}",
            remedy=f"trtllm-build resume {world.entry.identifier} configures it again; what is compiled stays",
        )
    # ninja says "name: rule", make "... name".
    names = {line.removeprefix("... ").rpartition(": ")[0] or line.removeprefix("... ").split(" ")[0]
             for line in shown.stdout.splitlines() if ": " in line or line.startswith("... ")}  # fmt: skip
    ninja = (world.workspace.build / "build.ninja").is_file()
    wanted = []
    for target in targets:
        source = world.workspace.source / target
        if target.rpartition("/")[2] in _UTILITIES:
            raise UsageError(
                f"{target!r} compiles nothing: it is one of CMake's own targets, some of which delete or install",
                remedy=f"give a library, an object or a source file; trtllm-build --profile {world.entry.profile} "
                "--rebuild begins anew",
            )
        if target in names:
            wanted.append(target)
        elif ninja and source.is_file():
            # ninja's own word for "the first output made of this file".
            wanted.append(f"{source.resolve()}^")
        else:
            near = difflib.get_close_matches(target, sorted(names), n=_SHOWN, cutoff=0.5)
            near = near or [name for name in sorted(names) if target in name][:_SHOWN]
            raise UsageError(
                f"there is no target {target!r} in {world.workspace.build}, and no such file in the checkout",
                remedy=f"near it are {', '.join(near)}" if near else "`cmake --build DIR --target help` lists them",
            )
    return wanted
