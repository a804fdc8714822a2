"""One run in one workspace: what the stages share, and how a stage is kept, or done and stamped."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtllm_builder.build.journal import Journal, Json, Stamp, digest
from trtllm_builder.build.observer import Observer
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import HostError
from trtllm_builder.plan.make import Material
from trtllm_builder.plan.model import Plan
from trtllm_builder.process import read_stat
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.units import format_duration

_MOST_NAMES = 4


@dataclass
class Run:
    """``plan`` and ``material`` (what the plan was made from) are made again as tools and source arrive. ``results``
    hold what each stage left for the next ones, ``stage`` is the one at work. A resumed run keeps the identifier of
    the one it goes on with. ``edits`` are the files of the checkout that were changed by hand when patches were looked
    at, with what they held (edits.py). ``build_tag`` is the wheel's (PEP 427), empty for none."""

    identifier: str
    plan: Plan
    material: Material
    workspace: Workspace
    lock: int
    observer: Observer
    rebuild: bool
    stage: str = ""
    results: dict[str, Json] = field(default_factory=dict)
    edits: dict[str, str] = field(default_factory=dict)
    redo: bool = False
    build_tag: str = ""

    @property
    def journal(self) -> Journal:
        return self.workspace.journal

    @property
    def environment(self) -> dict[str, str]:
        """The build's whole environment."""
        return {setting.name: setting.value for setting in self.plan.environment}

    def log(self, name: str) -> Path:
        """This run's log file of that name; its directory exists."""
        self.log_directory.mkdir(parents=True, exist_ok=True)
        return self.log_directory / f"{name}.log"

    def note_child(self, session: int) -> None:
        """Write down who works for us: whoever goes on after our death ends that session first."""
        stat = read_stat(session)
        self.journal.append("child", run=self.identifier, group=session, start=stat.start if stat else 0)

    @property
    def log_directory(self) -> Path:
        return self.workspace.logs / self.identifier


@contextmanager
def told_as_sentences(doing: str, options: str = "--workspace and --out") -> Iterator[None]:
    """A full or read-only disk, or a directory of somebody else's, ends in a sentence and exit 3. ``options`` are those
    by which the directories were chosen."""
    try:
        yield
    except OSError as error:
        place = f" at {error.filename}" if error.filename else ""
        remedy = "free some room and give the same command again: what was finished is kept"
        if error.errno == errno.EROFS:
            remedy = (
                "have it mounted writable, then give the same command again: what was finished is kept; a disk that "
                "became read-only by itself (see `dmesg`) is failing"
            )
        elif error.errno not in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"make it writable, or give other directories with {options}"
        raise HostError(f"{doing}: {error.strerror or error}{place}", remedy=remedy) from error


@dataclass(frozen=True)
class Stage:
    """``inputs`` is all that the result depends on, under names that a person understands; ``lost`` says what is wrong
    with what an earlier run left, nothing when it still stands; ``do`` works and returns the result, plain JSON
    values; ``told`` is the result in a few words."""

    name: str
    inputs: Callable[[Run], Mapping[str, Any]]
    lost: Callable[[Run, Json], str]
    do: Callable[[Run], Json]
    told: Callable[[Json], str]


def carry_out(stage: Stage, run: Run) -> None:
    """Keep the stage's earlier result when nothing it depends on changed, else do it, and all that follow it."""
    run.stage = stage.name
    stamp = run.journal.stamps().get(stage.name)
    why = "" if stamp is None or run.redo else _why_again(stage, run, stamp)
    if stamp is not None and not run.redo and not why:
        run.results[stage.name] = stamp.result
        run.observer.stage(stage.name, "kept", stage.told(stamp.result))
        return
    run.redo = True
    run.observer.stage(stage.name, "begun", why)
    if stamp is not None and stamp.inputs and why:
        run.observer.note(f"{stage.name} is done again: {why}")
    run.journal.append("begin", stage=stage.name, run=run.identifier, why=why)
    started = time.monotonic()
    with told_as_sentences(stage.name):
        result = stage.do(run)
    seconds = time.monotonic() - started
    # What a stage depends on may be known better after it ran (a venv that exists now), so it is asked again.
    run.journal.append(
        "end", stage=stage.name, run=run.identifier, inputs=named_digests(run, stage.inputs(run)),
        seconds=round(seconds, 3), result=result,
    )  # fmt: skip
    run.results[stage.name] = result
    run.observer.stage(stage.name, "done", f"{stage.told(result)} ({format_duration(seconds)})")


def named_digests(run: Run, inputs: Mapping[str, Any]) -> dict[str, str]:
    """A stage's inputs as its ``end`` event has them."""
    # Another version of ours may do any stage differently.
    named = {"the version of trtllm-builder": run.plan.builder, **inputs}
    return {name: digest(value)[:16] for name, value in named.items()}


def _why_again(stage: Stage, run: Run, stamp: Stamp) -> str:
    """Why the stage's earlier result cannot be kept; nothing when it can."""
    if not stamp.inputs:
        return "it was begun and not finished"
    now = named_digests(run, stage.inputs(run))
    changed = [name for name in {**stamp.inputs, **now} if stamp.inputs.get(name) != now.get(name)]
    if changed:
        more = f" and {len(changed) - _MOST_NAMES} more" if len(changed) > _MOST_NAMES else ""
        return f"changed since: {', '.join(changed[:_MOST_NAMES])}{more}"
    return stage.lost(run, stamp.result)


def file_lost(path: Path, sha256: str) -> str:
    """What is wrong with a file that an earlier run left; nothing when it is there as it was."""
    if not path.is_file():
        return f"{path} is gone"
    return "" if sha256_of(path) == sha256 else f"{path} is another file now"
