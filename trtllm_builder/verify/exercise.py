"""The smoke test after the installation: a process that is watched, in a world like a rented container's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trtllm_builder.host.driver import ask_driver
from trtllm_builder.text import clean
from trtllm_builder.verify.capability import runs_on
from trtllm_builder.verify.capture import Capture
from trtllm_builder.verify.diagnose import (
    Diagnosis,
    diagnose_deadline,
    diagnose_failure,
    diagnose_flood,
    diagnose_hang,
    diagnose_parent_killed,
)
from trtllm_builder.verify.progress import Progress, read_progress
from trtllm_builder.verify.shown import STACK_LIMIT, shown, tail
from trtllm_builder.verify.stubs import driver_directories, find_stubs, link_stubs
from trtllm_builder.verify.subreaper import adopting
from trtllm_builder.verify.tried import Answer, Smoke
from trtllm_builder.verify.watch import Tree, children, mapped_libraries, stacks, watch
from trtllm_builder.verify.world import GpuUse

_FAREWELL = 2.0  # seconds in which helpers of the tested process, such as a resource tracker, may end after it
_DRIVER_LIMIT = 60.0  # seconds; eight GPUs without persistence take ten to wake
_CHILD = Path(__file__).with_name("smoke_child.py")
_RESTRICT = Path(__file__).with_name("restrict_child.py")
_KEPT_OUTPUT, _KEPT_PROGRESS = 64 << 10, 1 << 20  # bytes
_FATAL = "Fatal Python error"
_FLOOD = 64 << 20  # bytes of output, or of progress


def exercise(
    python: Path,
    place: Path,
    *,
    modules: Sequence[str],
    build_info: bool,
    answer: Answer | None,
    environ: Mapping[str, str],
    stall: float,
    deadline: float,
    host: Mapping[str, str] | None = None,
    targets: Collection[str] | None = None,
) -> Smoke:
    """The test after the installation: ``python`` runs in the environment, ``place`` is a directory for its files.

    It runs in restricted mode as far as the host allows (restrict_child.py), and where there is no driver with the
    stubs of it that a toolkit of ``host``, the caller's environment, has. A kernel is launched where there is a GPU;
    with ``targets`` (``sm_89``), what the wheel is meant for, only on a GPU that runs one of them.
    """
    for part in ("empty", "stacks"):
        (place / part).mkdir()
    gpu, environ, launch = _find_gpu(python, place, environ, host or {}, targets)
    output, said = Capture(_KEPT_OUTPUT), Capture(_KEPT_PROGRESS)
    task = {
        "progress": said.writer,
        "modules": list(modules),
        "build_info": build_info,
        "answer": {"model": answer.model, "prompt": answer.prompt} if answer else None,
        "launch": launch,
    }
    (place / "task.json").write_text(json.dumps(task))
    with adopting():
        others = children(os.getpid())
        child = subprocess.Popen(
            # Our own interpreter shuts the door, and stands between us and the wheel.
            [sys.executable, "-I", "-S", _RESTRICT, place / "task.json",
             python, "-I", "-u", "-X", "faulthandler", _CHILD, place / "task.json"],
            env={**environ, "TRTLLM_BUILDER_SMOKE_STACKS": str(place / "stacks")},
            cwd=place / "empty",
            stdin=subprocess.DEVNULL,
            stdout=output.writer,
            stderr=output.writer,
            pass_fds=(said.writer,),
            start_new_session=True,
        )  # fmt: skip
        tree = Tree(child.pid, os.getpid(), others)
        stack, left = "", 0
        mapped: tuple[str, ...] = ()
        try:
            output.start()
            said.start()
            ending = watch(
                child,
                tree,
                stall=stall,
                deadline=deadline,
                phase=lambda: read_progress(said.text).phase,
                flooded=lambda: max(output.total, said.total) > _FLOOD,
            )
            if ending == "exited":
                left = tree.left_after(_FAREWELL)
            # Before a signal for its stacks wakes it from what it waits in.
            told = read_progress(said.text)
            if ending in ("hang", "deadline"):
                stack, mapped = stacks(tree, place / "stacks"), mapped_libraries(tree)
        finally:
            tree.end()
            child.wait()
    output.finish()
    said.finish()
    if ending == "exited":
        told = read_progress(said.text)
    text = shown(output.text, place)
    reached = Smoke(
        modules=tuple(modules),
        outcome="ok",
        phase=told.phase or "import",
        asked=answer,
        import_seconds=told.import_seconds,
        version=None if told.version is None else clean(told.version),
        multi_device=told.multi_device,
        answer=None if told.answer is None else clean(told.answer),
        answer_seconds=told.answer_seconds,
        world=told.world,
        gpu=_launched(gpu, told),
        left_behind=left,
        stack=shown(stack, place)[-STACK_LIMIT:],
        output=tail(text),
    )
    if ending == "hang":
        found = diagnose_hang(reached.phase, reached.stack, mapped, seconds=stall)
        return replace(reached, outcome="hang", diagnosis=found)
    if ending == "deadline":
        return replace(reached, outcome="deadline", diagnosis=diagnose_deadline(reached.phase, seconds=deadline))
    if ending == "flood":
        return replace(reached, outcome="failed", diagnosis=diagnose_flood(reached.phase, limit=_FLOOD))
    if child.returncode < 0:  # the process between us and the tested one was to end after it, by itself
        return replace(reached, outcome="failed", diagnosis=diagnose_parent_killed(reached.phase, -child.returncode))
    status = child.returncode or told.status or 0
    return _exited(reached, told, text, status, place)


def _find_gpu(
    python: Path, place: Path, environ: Mapping[str, str], host: Mapping[str, str], targets: Collection[str] | None
) -> tuple[GpuUse, Mapping[str, str], bool]:
    """What there is of a driver, the environment in which the tested code will find it, and whether to launch."""
    found = ask_driver(python, environ, timeout=_DRIVER_LIMIT)
    if not found.library and (directories := driver_directories(host)):
        environ = _with_libraries(environ, *directories)
        found = ask_driver(python, environ, timeout=_DRIVER_LIMIT)
    devices = tuple(f"{gpu.name} ({gpu.compute})" for gpu in found.devices)
    if devices:
        # The first is the one that is used.
        number = int((found.devices[0].compute or "0").replace(".", ""))
        if targets is not None and not any(runs_on(target, number) for target in targets):
            why = f"it is not made for the GPU of this machine, {devices[0]}"
            return GpuUse("real", found.cuda, devices, why=clean(why)), environ, False
        why = "the wheel has no kernel that can be launched by itself (bindings.launch)"
        return GpuUse("real", found.cuda, devices, why=why), environ, True
    if found.library:
        return GpuUse("stubs" if found.stub else "real", found.cuda, why=clean(found.error)), environ, False
    stubs = find_stubs(host)
    if stubs is None:
        return GpuUse("none", why="there is no driver here, and no toolkit with stubs of it"), environ, False
    link_stubs(stubs, place / "stubs")
    why = f"there is no GPU here: the toolkit's stubs of the driver served ({stubs})"
    return GpuUse("stubs", why=why), _with_libraries(environ, str(place / "stubs")), False


def _with_libraries(environ: Mapping[str, str], *directories: str) -> dict[str, str]:
    """Behind what the caller set, which names what the wheel needs."""
    path = ":".join(filter(None, (environ.get("LD_LIBRARY_PATH"), *directories)))
    return {**environ, "LD_LIBRARY_PATH": path}


def _launched(gpu: GpuUse, told: Progress) -> GpuUse:
    if told.launched is None:
        return replace(gpu, why="its kernel did not run") if told.phase == "launch" else gpu
    return replace(gpu, launched=clean(told.launched), launch_seconds=told.launch_seconds, why="")


def _exited(result: Smoke, told: Progress, text: str, status: int, place: Path) -> Smoke:
    driver = result.gpu is None or result.gpu.driver == "real"
    if told.traceback is not None:
        # Not the output: what the wheel printed before may name libraries that it did well without.
        trace = shown(told.traceback, place)
        found = diagnose_failure(result.phase, trace, driver=driver)
        return replace(result, outcome="failed", diagnosis=found, stack=trace[-STACK_LIMIT:])
    if status != 0:
        found = diagnose_failure(result.phase, text, status=status, driver=driver)
        # faulthandler's dump begins with the innermost call: the end of the output would lose just that.
        _, mark, dump = text.rpartition(_FATAL) if status < 0 else ("", "", "")
        return replace(result, outcome="failed", diagnosis=found, stack=(mark + dump)[:STACK_LIMIT])
    if result.phase != "exit":
        what = "The process ended without an error before it was through."
        early = Diagnosis("ended-early", what, "Look for os._exit in the wheel's code, or in what it calls.")
        return replace(result, outcome="failed", diagnosis=early)
    return result
