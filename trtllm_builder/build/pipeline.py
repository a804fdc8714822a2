"""The whole way: preflight -> tools -> fetch -> patch -> compile -> normalise -> verify -> record, in one workspace."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.build import compile as compiling
from trtllm_builder.build import finish, inputs, prepare, reuse, toolchain
from trtllm_builder.build import record as recording
from trtllm_builder.build.bundle_use import with_bundle
from trtllm_builder.build.events import Recorder
from trtllm_builder.build.journal import Journal, Json
from trtllm_builder.build.kept import keep
from trtllm_builder.build.left import as_asked, as_left
from trtllm_builder.build.observer import Observer
from trtllm_builder.build.registry import RunEntry, new_identifier, register
from trtllm_builder.build.run import Run, Stage, carry_out, told_as_sentences
from trtllm_builder.build.signals import interruptible
from trtllm_builder.build.workspace import Workspace, tag_cache
from trtllm_builder.build.world import note_world
from trtllm_builder.errors import BuilderError, Interrupted, UsageError
from trtllm_builder.plan.make import make_plan
from trtllm_builder.plan.model import Plan, jsonable
from trtllm_builder.plan.request import Request
from trtllm_builder.process import read_stat

_TOOLS = Stage(
    "tools",
    toolchain.tools_inputs,
    toolchain.tools_lost,
    toolchain.do_tools,
    lambda result: f"CUDA {result['toolkit']}, {', '.join(result['paths'])}",
)
_FETCH = Stage(
    "fetch",
    prepare.fetch_inputs,
    prepare.fetch_lost,
    prepare.do_fetch,
    lambda result: f"{result['commit'][:12] or result['digest'][:19]} from {result['served_by']}",
)
_PATCH = Stage(
    "patch",
    prepare.patch_inputs,
    prepare.patch_lost,
    prepare.do_patch,
    lambda result: f"{', '.join(one['name'] for one in result['sets'])}; version {result['version']}",
)
_INPUTS = Stage("inputs", inputs.inputs_inputs, lambda run, result: "", inputs.do_inputs, inputs.inputs_told)
_LAST = (
    Stage("compile", compiling.compile_inputs, compiling.compile_lost, compiling.do_compile, compiling.compile_told),
    Stage("normalise", finish.normalise_inputs, finish.normalise_lost, finish.do_normalise, finish.normalise_told),
    Stage("verify", finish.verify_inputs, finish.verify_lost, finish.do_verify, finish.verify_told),
    Stage("record", recording.record_inputs, recording.record_lost, recording.do_record, recording.record_told),
)


@dataclass(frozen=True)
class Finished:
    """A wheel that passed. ``kept`` is true when nothing had to be done."""

    wheel: Path
    record: Path
    sha256: str
    report: Json
    lines: tuple[str, ...]
    seconds: float
    kept: bool

    def to_json(self) -> Json:
        return {
            "wheel": str(self.wheel),
            "record": str(self.record),
            "sha256": self.sha256,
            "seconds": round(self.seconds, 1),
            "kept": self.kept,
            "report": self.report,
        }


def build(request: Request, observer: Observer, *, rebuild: bool = False, run_id: str | None = None) -> Finished:
    """From a request to a verified wheel. Raises a BuilderError of the failing stage; Interrupted leaves all that was
    done, and the same call goes on from there. ``run_id`` goes on with that run of the workspace, whatever became of
    it; without it the last one goes on when it did not finish and was about the same source."""
    started = time.monotonic()
    with interruptible(), closing(Recorder(observer)) as told:
        request = with_bundle(request)
        asked = as_asked(request)
        plan, material = make_plan(request)
        for note in plan.notes:
            told.note(note)
        prepare.preflight(plan)
        recording.signing_key(material)
        jobs = f"{plan.jobs.count} job{'s' * (plan.jobs.count > 1)}"
        told.stage("preflight", "done", f"{plan.upstream.value} in {plan.workspace.value}, {jobs}")
        workspace = Workspace(Path(plan.workspace.value))
        with told_as_sentences("the workspace"):
            # Before anything is made in it: what was there already would be somebody else's.
            tag_cache(Path(plan.caches))
        with told_as_sentences("the workspace"), workspace.locked() as lock:
            before = workspace.journal.last_run()
            _refuse_another_python(before, plan, rebuild)
            place = before["plan"]["workspace"]["value"] if before else plan.workspace.value
            if place != plan.workspace.value:
                told.note(f"the workspace was moved here from {place}: what has its path in it is made again")
            if run_id is None and not rebuild:
                run_id = _to_go_on_with(workspace.journal, plan)
                if run_id is not None:
                    told.note(f"going on with run {run_id}, which did not finish; --rebuild begins anew")
            if rebuild:
                workspace.journal.append("rebuild")
            run = Run(
                identifier=run_id or new_identifier(request.environ),
                plan=plan,
                material=material,
                workspace=workspace,
                lock=lock,
                observer=told,
                rebuild=workspace.journal.rebuilding(),
                build_tag=request.build_tag,
            )
            _note_run(run)
            told.run(run.identifier, run.log_directory)
            with _ending_noted(run, asked):
                _carry_out_all(run)
    return Finished(
        wheel=Path(run.results["record"]["wheel"]),
        record=Path(run.results["record"]["record"]),
        sha256=run.results["record"]["sha256"],
        report=run.results["verify"]["report"],
        lines=tuple(run.results["verify"]["lines"]),
        seconds=time.monotonic() - started,
        kept=not run.redo,
    )


def _note_run(run: Run) -> None:
    own = read_stat(os.getpid())
    request = run.material.request
    asked = request.asked.to_json()
    run.journal.append(
        "run",
        id=run.identifier,
        rebuild=run.rebuild,
        plan=run.plan.to_json(),
        request=asked,
        pid=os.getpid(),
        start=own.start if own else 0,
        log_directory=str(run.log_directory),
    )
    try:
        register(RunEntry(run.identifier, run.plan.profile, run.workspace.root, asked, time.time()), request.environ)
    except OSError as error:
        run.observer.note(f"`trtllm-build runs` will not know this run: {error}")


@contextmanager
def _ending_noted(run: Run, asked: dict[str, str]) -> Iterator[None]:
    """However the run ends, the journal says so; a run of which it says nothing and whose process is gone died."""
    try:
        yield
    except Exception as error:
        event, facts = _ending(error)
        # A full disk may be why it ended: the error on its way says more than that the journal is full too.
        with suppress(OSError):
            run.journal.append(event, run=run.identifier, stage=run.stage, **facts)
        raise
    left = as_left(run.results["record"], run.edits)
    run.journal.append("done", id=run.identifier, kept=not run.redo, left={**asked, **left})


def _ending(error: Exception) -> tuple[str, Json]:
    if isinstance(error, Interrupted):
        return "interrupted", {"signal": error.signal}
    told = error if isinstance(error, BuilderError) else BuilderError(f"{type(error).__name__}: {error}")
    return "failed", {"error": jsonable(told.to_json()), "exit_code": told.exit_code}


def _to_go_on_with(journal: Journal, plan: Plan) -> str | None:
    earlier = journal.unfinished()
    if earlier is None or _source_of(earlier["plan"]) != _source_of(plan.to_json()):
        return None
    return str(earlier["id"])


def _source_of(plan: Json) -> object:
    return [plan["source"][name] for name in ("url", "ref", "directory")]


def _refuse_another_python(before: Json | None, plan: Plan, rebuild: bool) -> None:
    """CMake's cache and upstream's own tree keep modules of the Python they were made for."""
    made_for = before["plan"]["python_version"] if before else plan.python_version
    if made_for.split(".")[:2] != plan.python_version.split(".")[:2] and not rebuild:
        raise UsageError(
            f"the workspace {plan.workspace.value} was made for Python {made_for}, and this build is for "
            f"{plan.python_version}",
            remedy="give another directory with --workspace, or begin anew in this one with --rebuild",
        )


def obtain_inputs(run: Run) -> None:
    """The stages before anything is compiled."""
    carry_out(_TOOLS, run)
    _obtain_rest(run)


def _carry_out_all(run: Run) -> None:
    inputs.check_early(run, tools=False)
    carry_out(_TOOLS, run)
    inputs.check_early(run, tools=True)
    # With a lock it is known before anything is fetched what the wheel would be.
    if run.material.request.locked is not None and _reused(run, run.material.request.locked.digest):
        return
    _obtain_rest(run)
    if run.material.request.locked is None and _reused(run, run.results["inputs"]["lock"]["sha256"]):
        return
    for stage in _LAST:
        carry_out(stage, run)
    if run.redo:
        keep(run)


def _obtain_rest(run: Run) -> None:
    carry_out(_FETCH, run)
    _say_changes(run, run.plan)
    note_world(run)
    carry_out(_PATCH, run)
    redo = run.redo
    carry_out(_INPUTS, run)
    # What is compiled depends on some of them, and says so itself.
    run.redo = redo


def _reused(run: Run, lock: str) -> bool:
    """Whether a wheel that was built before from that lock stands in the place of this build's."""
    if not reuse.is_wanted(run):
        return False
    found = reuse.look(run, lock)
    return found is not None and reuse.take(run, found)


def _say_changes(run: Run, before: Plan) -> None:
    """Plan again from what is really there, and say what differs from what was assumed."""
    prepare.plan_again(run)
    if before.assumed:
        words = {argument.words for argument in run.plan.command}
        gone = [argument.words for argument in before.command if argument.words not in words]
        for one in gone:
            run.observer.note(f"assumed and not so in this checkout: {' '.join(one)}")
    run.plan = replace(run.plan, assumed=())
