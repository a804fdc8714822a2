"""One attempt at one profile, as a CI's job or a node of a cluster makes it: lock, build from the lock, verify, report.

Everything is done by our own commands in processes of their own, so that a deadline ends the build and not what tells
of it. A directory holds all of it: the same call in the same directory goes on where an attempt was stopped, also on
another machine.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtllm_builder import __version__
from trtllm_builder.build.journal import Journal
from trtllm_builder.build.signals import interruptible
from trtllm_builder.ci.gather import Gathered
from trtllm_builder.ci.result import Result
from trtllm_builder.ci.summary import markdown
from trtllm_builder.errors import Interrupted, ProfileError
from trtllm_builder.units import format_duration

_GRACE = 120.0
OURS = (sys.executable, "-m", "trtllm_builder")


@dataclass(frozen=True)
class Task:
    """``directory`` is this profile's own; what tells of the attempt lies there too, or in ``shown``, which nobody else
    writes to. ``lock`` is a lock file, None to make one first. ``words`` are options that say what is built; ``jobs``
    compilers work at once; ``index`` is asked for a wheel that is there already; ``deadline`` is in seconds from the
    start; ``link`` leads to the CI's page of it. ``option`` is the one by which a user chose where all of it lies."""

    profile: str
    directory: Path
    shown: Path | None = None
    lock: Path | None = None
    words: tuple[str, ...] = ()
    deadline: float | None = None
    link: str | None = None
    jobs: int | None = None
    index: str | None = None
    option: str = "--dir"

    @property
    def report(self) -> Path:
        """What others are to see: result, summary, wheel with all that stands beside it, or the log of a failure."""
        return (self.shown or self.directory) / "report"

    @property
    def dist(self) -> Path:
        """Where builds leave their wheels."""
        return self.directory / "dist"

    @property
    def events(self) -> Path:
        """All that the commands said, as JSON lines."""
        return (self.shown or self.directory) / "events.jsonl"

    @property
    def workspace(self) -> Path:
        return self.directory / "workspace"

    @property
    def result(self) -> Path:
        return self.report / "result.json"


def attempt(task: Task, environ: Mapping[str, str], say: Callable[[dict[str, Any]], None], hold: int) -> Result:
    """Build the profile; what became of it is returned and lies in ``report``. ``say`` gets every event of the build,
    and ``{"event": "command", "text": ...}`` for each command. ``hold`` is the descriptor of the directory's lock
    (hold.py). Raises OSError when the directory cannot be written."""
    started = time.time()
    shutil.rmtree(task.report, ignore_errors=True)
    task.report.mkdir(parents=True)
    steps = _Steps(task, environ, Gathered(task.profile, __version__, started), say, started, hold)
    try:
        with interruptible():
            steps.all()
    except Interrupted as stop:
        steps.gathered.stopped(stop.status, stop.what)
    result = steps.gathered.result(time.time())
    result = replace(result, link=task.link, remedy=_meant(result.remedy, task.option))
    for path in steps.gathered.beside(task.dist):
        with suppress(OSError):
            shutil.copy2(path, task.report / path.name)
    _write(task.report / "summary.md", markdown([result]))
    _write(task.result, json.dumps(result.to_json(), indent=2) + "\n")
    return result


@dataclass(frozen=True)
class _Steps:
    """The commands, one after the other; what each says goes to ``gathered``, ``say`` and the file of events."""

    task: Task
    environ: Mapping[str, str]
    gathered: Gathered
    say: Callable[[dict[str, Any]], None]
    started: float
    hold: int

    def all(self) -> None:
        task, workspace = self.task, self.task.workspace
        lock = task.lock or task.directory / "lock.json"
        # A lock that a build has begun with is kept until that build is done.
        begun = lock.is_file() and Journal(workspace / "journal.jsonl").unfinished() is not None
        if task.lock is None and not begun and self.run("lock", "--profile", task.profile, "--out", str(lock)) is None:
            return
        how = ["--locked", str(lock), "--workspace", str(workspace), "--out", str(task.dist)]
        how += ["--jobs", str(task.jobs)] if task.jobs else []
        how += ["--index", task.index] if task.index else []
        if self.run("build", "--profile", task.profile, *how) is None:
            if task.lock is None and self.gathered.code == ProfileError.exit_code:
                # Compilers or we ourselves are others since it was made: the next attempt makes one that they keep to.
                lock.unlink(missing_ok=True)
            return
        report = self.run("verify", str(self.gathered.wheel))
        (task.report / "verify.json").write_bytes(report or b"")

    def run(self, step: str, *words: str) -> bytes | None:
        """What the command printed that is no event; None when it failed or its time was over."""
        task, gathered = self.task, self.gathered
        command = [*([] if step == "build" else [step]), *words, *([] if step == "verify" else task.words)]
        self.say({"event": "command", "text": f"trtllm-build {shlex.join(command)}"})
        gathered.step = step
        late = threading.Event()
        printed = b""
        with _child([*OURS, *command, "--json"], self.environ, self.hold) as child, task.events.open("ab") as kept:
            timer = None
            if task.deadline is not None:
                left = max(0.0, self.started + task.deadline - time.time())
                timer = threading.Timer(left, _end, (child, late))
                timer.daemon = True
                timer.start()
            try:
                for line in child.stdout or ():
                    event = _event(line)
                    if event is None:
                        printed += line
                        continue
                    kept.write(line)
                    kept.flush()
                    gathered.event(event)
                    self.say(event)
                code = child.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        gathered.ended(code, printed)
        if late.is_set() and code:
            told = format_duration(task.deadline or 0.0)
            gathered.stopped(code, f"its time of {told} was over; the same command goes on where it stopped")
        return printed if code == 0 else None


@contextmanager
def _child(argv: Sequence[str], environ: Mapping[str, str], hold: int) -> Iterator[subprocess.Popen[bytes]]:
    """In our process group, so that who stops the job stops it too. It ends when we do, and by ``hold`` it is found
    when we are killed."""
    child = subprocess.Popen(
        argv,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=_deaf,
        pass_fds=(hold,),
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdout:
            child.stdout.close()


def _deaf() -> None:
    # A cluster warns its job by this signal; a build that knows nothing of it would die of it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _end(child: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


def _meant(remedy: str | None, option: str) -> str | None:
    """A build speaks of its own options; who gave ``option`` instead has neither of them."""
    if remedy is None or "trtllm-build" in remedy:
        return remedy
    return remedy.replace("--workspace and --out", option).replace("--workspace", option)


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", errors="replace")
    partial.replace(path)
