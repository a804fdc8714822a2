"""The smoke test: install the wheel where nothing else is, import it, start one worker, get one answer."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trtllm_builder.errors import HostError
from trtllm_builder.process import Completed, run
from trtllm_builder.text import clean, redact
from trtllm_builder.verify.diagnose import Diagnosis, diagnose_deadline, diagnose_failure, diagnose_hang
from trtllm_builder.verify.environment import make_environment
from trtllm_builder.verify.watch import Tree, mapped_libraries, stacks, watch

Outcome = Literal["ok", "not installed", "failed", "hang", "deadline"]
_FAREWELL = 2.0  # seconds in which helpers of the tested process, such as a resource tracker, may end after it
_CHILD = Path(__file__).with_name("smoke_child.py")
_VERSION = "import platform; print(platform.python_version())"
_TAIL = 40  # lines of output kept as evidence
_STACK_LIMIT = 20_000  # characters


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
    task = {
        "progress": str(place / "progress.jsonl"),
        "modules": list(modules),
        "build_info": build_info,
        "answer": {"model": answer.model, "prompt": answer.prompt} if answer else None,
    }
    (place / "task.json").write_text(json.dumps(task))
    events = _Events(place / "progress.jsonl")
    with (place / "output.txt").open("wb") as output:
        child = subprocess.Popen(
            [python, "-I", "-u", "-X", "faulthandler", _CHILD, place / "task.json"],
            env={**environ, "TRTLLM_BUILDER_SMOKE_STACKS": str(place / "stacks")},
            cwd=place / "empty",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        tree = Tree(child.pid)
        stack, left = "", 0
        mapped: tuple[str, ...] = ()
        try:
            ending = watch(child, tree, stall=stall, deadline=deadline, phase=events.phase)
            if ending == "exited":
                left = tree.left_after(_FAREWELL)
            else:
                stack, mapped = stacks(tree, place / "stacks"), mapped_libraries(tree)
        finally:
            tree.end()
            child.wait()
    told = events.all()
    text = _shown((place / "output.txt").read_text(errors="replace"), place)
    started = Smoke(
        modules=tuple(modules),
        outcome="ok",
        phase=events.phase() or "import",
        asked=answer,
        left_behind=left,
        stack=_shown(stack, place)[-_STACK_LIMIT:],
        output=_tail(text),
    )
    reached = _with_events(started, told)
    if ending == "hang":
        found = diagnose_hang(reached.phase, reached.stack, mapped, seconds=stall)
        return replace(reached, outcome="hang", diagnosis=found)
    if ending == "deadline":
        return replace(reached, outcome="deadline", diagnosis=diagnose_deadline(reached.phase, seconds=deadline))
    return _exited(reached, told, text, child.returncode, place)


def _exited(result: Smoke, events: list[dict[str, Any]], text: str, status: int, place: Path) -> Smoke:
    error = next((event for event in events if event["event"] == "error"), None)
    if error:
        # Not the output: what the wheel printed before may name libraries that it did well without.
        trace = _shown(str(error["traceback"]), place)
        found = diagnose_failure(result.phase, trace)
        return replace(result, outcome="failed", diagnosis=found, stack=trace[-_STACK_LIMIT:])
    if status != 0:
        return replace(result, outcome="failed", diagnosis=diagnose_failure(result.phase, text, status=status))
    if result.phase != "exit":
        what = "The process ended without an error before it was through."
        early = Diagnosis("ended-early", what, "Look for os._exit in the wheel's code, or in what it calls.")
        return replace(result, outcome="failed", diagnosis=early)
    return result


def _with_events(result: Smoke, events: list[dict[str, Any]]) -> Smoke:
    for event in events:
        if event["event"] == "imported":
            result = replace(result, import_seconds=float(event["seconds"]), version=event["version"])
        elif event["event"] == "build-info":
            result = replace(result, multi_device=int(event["multi_device"]))
        elif event["event"] == "answered":
            result = replace(result, answer=clean(event["text"]), answer_seconds=float(event["seconds"]))
    return result


class _Events:
    """The child's progress file, read again only when it has grown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = -1
        self.last = ""

    def all(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        return [json.loads(line) for line in lines[:-1] if line]  # the last is empty, or half written

    def phase(self) -> str:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size != self.size:
            self.size = size
            self.last = next((e["phase"] for e in reversed(self.all()) if e["event"] == "phase"), "")
        return self.last


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
    return redact(clean(re.sub(site, "", text))).replace(str(place), "(smoke)")


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_TAIL:])
