"""The smoke test: install the wheel where nothing else is, import it, start one worker, get one answer.

It finds faults, not malice: the wheel's code runs in the process that reports, and can forge each of its own answers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trtllm_builder.errors import HostError
from trtllm_builder.process import Completed, run
from trtllm_builder.text import clean, redact
from trtllm_builder.verify.capture import Capture
from trtllm_builder.verify.diagnose import (
    Diagnosis,
    diagnose_deadline,
    diagnose_failure,
    diagnose_flood,
    diagnose_hang,
)
from trtllm_builder.verify.environment import make_environment
from trtllm_builder.verify.progress import Progress, read_progress
from trtllm_builder.verify.subreaper import adopting
from trtllm_builder.verify.watch import Tree, children, mapped_libraries, stacks, watch

Outcome = Literal["ok", "not installed", "failed", "hang", "deadline"]
_FAREWELL = 2.0  # seconds in which helpers of the tested process, such as a resource tracker, may end after it
_CHILD = Path(__file__).with_name("smoke_child.py")
_VERSION = "import platform; print(platform.python_version())"
_TAIL = 40  # lines of output kept as evidence
_STACK_LIMIT, _LINE_LIMIT = 20_000, 2_000  # characters
_KEPT_OUTPUT, _KEPT_PROGRESS = 64 << 10, 1 << 20  # bytes
_FLOOD = 64 << 20  # bytes of output, or of progress


@dataclass(frozen=True)
class Answer:
    """What to ask: ``LLM(model).generate([prompt])``. ``expect`` None: any answer will do."""

    model: str
    prompt: str
    expect: str | None = None


@dataclass(frozen=True)
class Smoke:
    """Times in seconds; None where the test did not get that far. ``phase`` is the last one entered:
    install, import, answer or exit. ``left_behind`` counts processes that outlived the test and were killed.
    """

    modules: tuple[str, ...]
    outcome: Outcome
    phase: str
    asked: Answer | None = None
    python: str = ""
    installer: str = ""
    install_seconds: float = 0.0
    import_seconds: float | None = None
    version: str | None = None
    multi_device: int | None = None
    answer: str | None = None
    answer_seconds: float | None = None
    left_behind: int = 0
    diagnosis: Diagnosis | None = None
    stack: str = ""
    output: str = ""

    def to_json(self) -> dict[str, object]:
        found = self.diagnosis
        return {
            "python": self.python,
            "modules": list(self.modules),
            "outcome": self.outcome,
            "phase": self.phase,
            "installer": self.installer,
            "install_seconds": round(self.install_seconds, 3),
            "import_seconds": None if self.import_seconds is None else round(self.import_seconds, 3),
            "version": self.version,
            "multi_device": self.multi_device,
            "prompt": self.asked.prompt if self.asked else None,
            "answer": self.answer,
            "answer_seconds": None if self.answer_seconds is None else round(self.answer_seconds, 3),
            "left_behind": self.left_behind,
            "diagnosis": {"id": found.id, "what": found.what, "remedy": found.remedy} if found else None,
            "stack": self.stack,
            "output": self.output,
        }


def smoke(
    wheel: Path,
    interpreter: Path,
    *,
    directory: Path,
    deadline: float,
    answer: Answer | None = None,
    modules: Sequence[str] = ("tensorrt_llm",),
    build_info: bool = True,
    environ: Mapping[str, str] | None = None,
    child_environ: Mapping[str, str] | None = None,
    stall: float = 20.0,
    extra_pip_args: Sequence[str] = (),
) -> Smoke:
    """Installs ``wheel`` in a fresh environment of ``interpreter`` below ``directory`` (removed again) and tries it.

    ``environ`` (package index, proxies) reaches the installer only, ``child_environ`` the tested code only; HOME and
    TMPDIR are private and everything else is clean. ``deadline`` is the ceiling in seconds for each of import, answer
    and exit; ``stall`` seconds without CPU and I/O are a hang. ``build_info`` reads BuildInfo.ENABLE_MULTI_DEVICE.
    Never raises for what the wheel does; HostError when the interpreter cannot be run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # Resolved, since the tested process runs elsewhere; the interpreter is not, for it may be a venv's link.
    with tempfile.TemporaryDirectory(prefix="smoke-", dir=directory.resolve(), ignore_cleanup_errors=True) as name:
        place = Path(name)
        base = private_environment(place)
        version = _python_version(interpreter, base)
        made = make_environment(
            interpreter.absolute(),
            wheel.resolve(),
            place / "env",
            {**base, "PIP_NO_CACHE_DIR": "1", **(environ or {}), "HOME": base["HOME"]},
            tuple(extra_pip_args),
        )
        if made.ok:
            tried = exercise(
                made.python,
                place,
                modules=modules,
                build_info=build_info,
                answer=answer,
                environ={**base, **(child_environ or {})},
                stall=stall,
                deadline=deadline,
            )
        else:
            output = _shown(made.output, place)
            tried = Smoke(
                modules=tuple(modules),
                outcome="not installed",
                phase="install",
                asked=answer,
                diagnosis=diagnose_failure("install", output),
                output=_tail(output),
            )
        return replace(tried, python=version, installer=made.installer, install_seconds=made.seconds)


def private_environment(place: Path) -> dict[str, str]:
    """A clean environment whose HOME and TMPDIR are below ``place``."""
    for part in ("home", "tmp"):
        (place / part).mkdir()
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
    }


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
) -> Smoke:
    """The test after the installation: ``python`` runs in the environment, ``place`` is a directory for its files."""
    for part in ("empty", "stacks"):
        (place / part).mkdir()
    output, said = Capture(_KEPT_OUTPUT), Capture(_KEPT_PROGRESS)
    task = {
        "progress": said.writer,
        "modules": list(modules),
        "build_info": build_info,
        "answer": {"model": answer.model, "prompt": answer.prompt} if answer else None,
    }
    (place / "task.json").write_text(json.dumps(task))
    with adopting():
        others = children(os.getpid())
        child = subprocess.Popen(
            [python, "-I", "-u", "-X", "faulthandler", _CHILD, place / "task.json"],
            env={**environ, "TRTLLM_BUILDER_SMOKE_STACKS": str(place / "stacks")},
            cwd=place / "empty",
            stdin=subprocess.DEVNULL,
            stdout=output.writer,
            stderr=output.writer,
            pass_fds=(said.writer,),
            start_new_session=True,
        )
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
            elif ending != "flood":
                stack, mapped = stacks(tree, place / "stacks"), mapped_libraries(tree)
        finally:
            tree.end()
            child.wait()
    output.finish()
    said.finish()
    told = read_progress(said.text)
    text = _shown(output.text, place)
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
        left_behind=left,
        stack=_shown(stack, place)[-_STACK_LIMIT:],
        output=_tail(text),
    )
    if ending == "hang":
        found = diagnose_hang(reached.phase, reached.stack, mapped, seconds=stall)
        return replace(reached, outcome="hang", diagnosis=found)
    if ending == "deadline":
        return replace(reached, outcome="deadline", diagnosis=diagnose_deadline(reached.phase, seconds=deadline))
    if ending == "flood":
        return replace(reached, outcome="failed", diagnosis=diagnose_flood(reached.phase, limit=_FLOOD))
    return _exited(reached, told, text, child.returncode, place)


def _exited(result: Smoke, told: Progress, text: str, status: int, place: Path) -> Smoke:
    if told.traceback is not None:
        # Not the output: what the wheel printed before may name libraries that it did well without.
        trace = _shown(told.traceback, place)
        found = diagnose_failure(result.phase, trace)
        return replace(result, outcome="failed", diagnosis=found, stack=trace[-_STACK_LIMIT:])
    if status != 0:
        return replace(result, outcome="failed", diagnosis=diagnose_failure(result.phase, text, status=status))
    if result.phase != "exit":
        what = "The process ended without an error before it was through."
        early = Diagnosis("ended-early", what, "Look for os._exit in the wheel's code, or in what it calls.")
        return replace(result, outcome="failed", diagnosis=early)
    return result


def _python_version(interpreter: Path, env: Mapping[str, str]) -> str:
    try:
        asked = run([interpreter, "-I", "-c", _VERSION], env=env, timeout=60)
    except OSError as error:
        asked = Completed((), 127, "", error.strerror or str(error))
    if not asked.ok:
        raise HostError(
            f"{interpreter} cannot be run as a Python interpreter: {asked.last_line}",
            remedy="Give the path of a Python 3.10 or newer with --python.",
        )
    return asked.stdout.strip()


def _shown(text: str, place: Path) -> str:
    """Safe to show and keep, and without the temporary directory that nobody will find again."""
    site = re.escape(str(place)) + r"/env/lib/python[\d.]+/site-packages/"
    shown = redact(clean(re.sub(site, "", text))).replace(str(place), "(smoke)")
    return "\n".join(line[:_LINE_LIMIT] for line in shown.split("\n"))


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_TAIL:])[-_STACK_LIMIT:]
