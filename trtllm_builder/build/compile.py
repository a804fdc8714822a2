"""The compile stage: upstream's own build_wheel.py in the workspace's venv, watched, to a wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from trtllm_builder.build import gate_told, inputs
from trtllm_builder.build.archives import check_downloaded
from trtllm_builder.build.cache_log import CacheLog, note_begin
from trtllm_builder.build.diagnosis.show import build_failure
from trtllm_builder.build.disk_watch import DiskWatch
from trtllm_builder.build.distrust import distrust, is_unconfigured
from trtllm_builder.build.edits import find_edits, note_edits, told
from trtllm_builder.build.evidence import Jobs, asked_by, gather, snapshot
from trtllm_builder.build.gate import Gate, prepare_gate
from trtllm_builder.build.gauges import Gauges
from trtllm_builder.build.journal import Json
from trtllm_builder.build.measured import note_build
from trtllm_builder.build.populated import note_populated
from trtllm_builder.build.prepare import refuse_edits
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.remote_cache import note_use, read_use, serving
from trtllm_builder.build.requirement import WANTED
from trtllm_builder.build.run import Run, file_lost
from trtllm_builder.build.supervisor import supervise
from trtllm_builder.build.timeline_files import note_timeline
from trtllm_builder.build.took import what_did_not_take
from trtllm_builder.build.workspace import tag_cache
from trtllm_builder.errors import BuildError, SourceError
from trtllm_builder.gate import cmake
from trtllm_builder.plan import cmake_file
from trtllm_builder.plan.environment import FROM_HOST
from trtllm_builder.plan.history import read_history
from trtllm_builder.process import run as run_process
from trtllm_builder.repro.seeds import SEEDS
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.source.edits import tree_identity
from trtllm_builder.units import format_size
from trtllm_builder.upstream.flags_help import compare_help

_CONFIGURED = "-- Build files have been written to: "
# Where things are kept and how much of them, not what is built.
_CACHES = ("CCACHE_DIR", "CCACHE_MAXSIZE", "CCACHE_CONFIGPATH", "CCACHE_REMOTE_STORAGE", "PIP_CACHE_DIR")


def compile_inputs(run: Run) -> dict[str, object]:
    """Everything but what changes nothing that is built: the number of jobs, caches, the way to the network."""
    plan = run.plan
    fetched = run.results["fetch"]
    words: dict[str, list[str]] = {}
    for argument in plan.command:
        flag, *values = argument.words
        if "job_count" not in flag:
            words.setdefault(f"{flag} {values[0].partition('=')[0]}" if len(values) == 1 else flag, []).extend(values)
    return {
        "the source": [fetched["commit"], fetched["digest"]],
        "the patches": run.results["patch"],
        "files edited by hand": run.edits,
        **words,
        **{s.name: s.value for s in plan.environment if s.origin != FROM_HOST and not s.name.startswith(_CACHES)},
        "the tools": run.results["tools"],
        "the requirements": [one.to_json() for one in inputs.gather(run) if one.kind in WANTED],
    }


def compile_lost(run: Run, result: Json) -> str:
    if is_unconfigured(run.workspace.build):
        return f"the configuration in {run.workspace.build} is damaged"
    if "cache" not in result:
        return "an earlier version did not write down what its compile cache read"
    return file_lost(Path(result["wheel"]), result["sha256"])


def do_compile(run: Run) -> Json:
    workspace, plan = run.workspace, run.plan
    # What killed compilers left behind.
    shutil.rmtree(workspace.temporary, ignore_errors=True)
    for directory in (workspace.home / "deep_gemm_cache", workspace.temporary, workspace.dist):
        directory.mkdir(parents=True, exist_ok=True)
    for wanted in plan.directories:
        directory = workspace.source / wanted.value
        if not (directory.is_symlink() or directory.parent.is_symlink()):
            directory.mkdir(exist_ok=True)
    tag_cache(Path(run.environment.get("CCACHE_DIR", workspace.temporary)))
    for stale in workspace.dist.glob("*.whl"):
        stale.unlink()
    inputs.install_requirements(run)
    _check_flags(run)
    client = prepare_gate(run)
    _write_cmake_file(workspace.cmake_file, [SEEDS, cmake.section(client, plan.gate.links)])
    distrust(run)
    log, cache_log = run.log("compile"), run.log_directory / "ccache.stats"
    note_begin(cache_log)
    gate = Gate(run, client)
    before, begun_at = snapshot(), log.stat().st_size if log.exists() else 0
    run.journal.append("limit", run=run.identifier, memory=before.most, source=before.source)
    gauges = Gauges(
        workspace.build,
        run.log_directory,
        cache_log=cache_log,
        history=read_history(plan.profile, run.material.request.environ).seconds,
        jobs=plan.jobs.count,
        memory_limit=before.most,
        waited=gate.waited,
    )
    cache_dir = Path(run.environment.get("CCACHE_DIR", workspace.temporary))
    remote = run.material.request.loaded.profile.build.ccache.remote if plan.ccache else None
    secrets = run.material.request.environ
    watch = DiskWatch(workspace.root)
    configured = False
    noted = 0

    def on_progress(progress: Progress, line: str | None) -> None:
        nonlocal configured, noted
        # All that upstream generates is whole before CMake looks at it; ninja may have finished files when it says so.
        if line and line.startswith(_CONFIGURED):
            run.journal.append("generated", run=run.identifier, tree=tree_identity(workspace.source))
            check_downloaded(run)
            # Not when it is a build within this one that says so, by which CMake fetches.
            if Path(line.removeprefix(_CONFIGURED)).resolve() == workspace.build.resolve():
                note_populated(run, configured=progress.done == 0)
        if progress.phase == "build" and not configured:
            configured = True
            problems = what_did_not_take(workspace.build, plan.options)
            if problems:
                raise BuildError("; ".join(problems), log=log, remedy="the build was stopped before compiling")
        if line is None and (note := watch.look(progress) or server.look(gauges.cache)):
            run.observer.note(note)
        # Written as it happens: a run that is killed has measured too.
        if progress.peak_memory > noted * 1.1:
            noted = progress.peak_memory
            run.journal.append("measured", run=run.identifier, peak_memory=noted, peak_disk=progress.peak_disk)
        run.observer.progress(progress, line)

    try:
        with (
            serving(remote, run.environment, secrets=secrets, directory=workspace.temporary) as (
                server,
                environment,
                why,
            ),
            gate,
        ):
            if why:
                run.observer.note(why)
            note_use(workspace.build, cache_dir, remote, server.url)
            outcome = supervise(
                plan.argv,
                env={**environment, "CCACHE_STATSLOG": str(cache_log), **gate.environment, **inputs.offline(run)},
                cwd=workspace.source,
                log=log,
                inherit=(run.lock,),
                on_start=lambda session, _start: run.note_child(session),
                on_tick=lambda progress, usage: gauges.tick(gate.tick(progress), usage),
                on_progress=on_progress,
                waiting=gate.waiting,
            )
    finally:
        gauges.close()
    now = find_edits(workspace, run.material.request.environ, patched=True)
    # Written down also when the build ends here: what is put back with its old time was compiled in all the same.
    note_edits(workspace, now)
    if outcome.returncode != 0:
        evidence = gather(
            before,
            returncode=outcome.returncode,
            peak_memory=outcome.peak_memory,
            jobs=Jobs(plan.jobs.count, asked_by(run.material.request), plan.gate.on),
            directories=(workspace.root, Path(run.environment.get("CCACHE_DIR", workspace.root)), Path("/tmp")),  # noqa: S108
            alone=gate.killed,
            mended=gate.mended,
            lost=gate.lost,
        )
        raise build_failure(log, begun_at, evidence, _ending(outcome.returncode))
    if not configured:
        problems = what_did_not_take(workspace.build, plan.options)
        if problems:
            raise BuildError("; ".join(problems), log=log)
    check_downloaded(run)
    note_populated(run)
    earlier = [one for one in run.journal.events() if one["event"] == "measured" and one.get("run") == run.identifier]
    wheels = sorted(workspace.dist.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"upstream's build ended well and left {len(wheels)} wheels in {workspace.dist}", log=log)
    if now != run.edits:
        changed = {name: now.get(name, "") for name in {**run.edits, **now} if run.edits.get(name) != now.get(name)}
        refuse_edits(run, now)
        run.observer.note(f"edited while it was being compiled, and perhaps not compiled in: {told(changed)}")
    note_build(run, gauges, outcome)
    if sentence := gate_told.told(run.log_directory):
        run.observer.note(sentence)
    timeline = note_timeline(run)
    return {
        "edited": {**run.edits, **now},
        "wheel": str(wheels[0]),
        "sha256": sha256_of(wheels[0]),
        "log": str(log),
        "log_sha256": sha256_of(log),
        "seconds": round(outcome.seconds, 1),
        "peak_memory": max([outcome.peak_memory, *(one["peak_memory"] for one in earlier)]),
        "peak_disk": max([outcome.peak_disk, *(one["peak_disk"] for one in earlier)]),
        "cache": _cache_facts(cache_log, workspace.build, cache_dir),
        "gate": gate_told.summary(run.log_directory),
        "timeline": timeline,
    }


def _write_cmake_file(path: Path, sections: list[str]) -> None:
    """Only when it changes: ninja configures again when it is newer than the build."""
    text = cmake_file.render(sections)
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


def _cache_facts(log: Path, build: Path, cache: Path) -> Json:
    """Of all that this run compiled; what was compiled in this directory by an earlier one counts for its servers."""
    seen = CacheLog(log, build)
    seen.whole()
    return {
        "hits": seen.hits,
        "misses": seen.misses,
        "remote_hits": seen.remote_hits,
        **read_use(build, cache),
    }


def compile_told(result: Json) -> str:
    cache = result["cache"]
    calls = cache["hits"] + cache["misses"]
    hits = f", ccache {cache['hits']} of {calls} hits" if calls else ""
    return f"{Path(result['wheel']).name}, peak memory {format_size(result['peak_memory'])}{hits}"


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"


def _check_flags(run: Run) -> None:
    """What the syntax tree says against what the script itself says: prefix matching would hide a difference."""
    shown = run_process(
        [*run.plan.argv[:2], "--help"], env={**run.environment, "COLUMNS": "200"}, cwd=run.workspace.source, timeout=120
    )
    if not shown.ok:
        raise SourceError(f"scripts/build_wheel.py --help failed in the build's venv: {shown.last_line}")
    differences = compare_help(run.material.probe.flags, shown.stdout)
    if differences:
        raise SourceError(
            "scripts/build_wheel.py --help disagrees with its source: " + "; ".join(one.what for one in differences),
            remedy="this upstream registers flags in a way the probe does not read; please report it",
        )
