"""kill -9 fifty times, at every stage and at random moments: nothing that was finished is done again, and the wheel is
that of a build which nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.journal import Journal
from trtllm_builder.build.workspace import tag_cache
from trtllm_builder.process import read_stat

pytestmark = pytest.mark.integration
COMMAND = (sys.executable, "-m", "trtllm_builder")
STRIKES = 50
# How long each stage may have worked when it is struck, seconds.
MOMENTS = {
    "start": 1.5, "tools": 0.5, "fetch": 0.15, "patch": 0.1, "inputs": 1.0, "compile": 7.0, "normalise": 0.15,
    "verify": 1.2, "record": 0.02,
}  # fmt: skip
VICTIMS = ("everything", "supervisor", "ninja", "compiler")
COMPILERS = {"cicc", "ptxas", "cc1plus", "nvcc", "cudafe++", "as", "ccache"}
# A crash can cut the journal's last line only while nothing has yet come of it.
CUT = {"run", "begin", "end", "done", "measured"}


def below(pid: int) -> dict[int, str]:
    """All descendants of a process, with the names of their programs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))):
            parents[int(entry.name)] = stat.parent
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child in [child for child, above in parents.items() if above == parent]:
            with suppress(OSError):
                found[child] = Path(f"/proc/{child}/comm").read_text().strip()
            waiting.append(child)
    return found


def kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Siege:
    """Builds in one workspace after the other, struck again and again."""

    builder: Any
    chance: random.Random
    place: Path
    words: tuple[str, ...]
    most: int
    """How often a stage may be struck in one build, compile four times that: all get their share, builds an end."""
    builds: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    here: Counter[str] = field(default_factory=Counter)
    aimed: Counter[str] = field(default_factory=Counter)
    wheels: list[Path] = field(default_factory=list)
    compiled: dict[Path, int] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.place / f"workspace{self.builds}"

    @property
    def out(self) -> Path:
        return self.place / f"out{self.builds}"

    def lay(self, strikes: int) -> None:
        """Strike that often, then let the last build end."""
        while sum(self.struck.values()) < strikes:
            self.go_on(self.chance.choice(VICTIMS))
        while self.wheels == [] or self.workspace.exists():
            self.go_on(None)

    def go_on(self, victim: str | None) -> None:
        moment = self.choose() if victim else ""
        child = subprocess.Popen(
            self.argv(), env=self.builder.environ, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.builder.started.append(child)
        striking = threading.Event()
        hits: list[str] = []

        def strike() -> None:
            if not striking.wait(60) or victim is None:
                return
            time.sleep(self.chance.uniform(0, MOMENTS[moment]))
            hits.extend(self.strike(child, victim, moment))

        striker = threading.Thread(target=strike)
        striker.start()
        if moment == "start":
            striking.set()
        assert child.stdout is not None and child.stderr is not None
        for line in child.stdout:
            with suppress(ValueError):
                event = json.loads(line)
                if event.get("stage") == moment and event["state"] == "begun":
                    striking.set()
        errors = child.stderr.read()
        status = child.wait(60)
        striking.set()
        striker.join()
        child.stdout.close()
        child.stderr.close()
        self.check(f"exit {status} after {hits} at {moment}: {errors}")
        if status == 0:
            self.finish()
            return
        assert hits, f"exit {status} without a strike at {moment}: {errors}"
        assert status in (-signal.SIGKILL, 6), f"exit {status} after {hits}: {errors}"
        self.struck[f"{moment} {hits[0]}"] += 1
        if hits[0] == "everything" and self.chance.random() < 0.3:
            self.tear()

    def argv(self) -> list[str]:
        last = Journal(self.workspace / "journal.jsonl").last_run()
        if last is None:
            where = ("--profile", "canary", "--workspace", str(self.workspace), "--out", str(self.out))
            return [*COMMAND, *where, *self.words, "--json"]
        which = self.chance.choice(((last["id"],), ("--workspace", str(self.workspace))))
        return [*COMMAND, "resume", *which, "--json"]

    def choose(self) -> str:
        """The next stage that is still to be done and may be struck; now and then what comes before all stages."""
        done = {name for name, stamp in Journal(self.workspace / "journal.jsonl").stamps().items() if stamp.inputs}
        left = [
            name
            for name in MOMENTS
            if name not in done and self.here[name] < (4 if name == "compile" else 1) * self.most
        ] or ["record"]
        coming = next((name for name in left if name != "start"), left[0])
        moment = coming if self.chance.random() < 0.9 else left[0]
        self.here[moment] += 1
        self.aimed[moment] += 1
        return moment

    def strike(self, child: subprocess.Popen[str], victim: str, moment: str) -> list[str]:
        names = {"ninja": {"ninja"}, "compiler": COMPILERS}.get(victim, set())
        end = time.monotonic() + 15
        while True:
            family = below(child.pid)
            found = [pid for pid, name in family.items() if name in names]
            if found and (victim == "ninja" or "ninja" in family.values()):
                kill(self.chance.choice(found))
                return [victim]
            # Both come late in the stage, and a compiler that CMake tries is struck by chance only.
            if not names or moment != "compile" or child.poll() is not None or time.monotonic() > end:
                break
            time.sleep(0.1)
        if child.poll() is not None:
            return []
        if victim == "supervisor":
            kill(child.pid)
            return ["supervisor"]
        kill(child.pid, *family)
        kill(*self.left_running())
        return ["everything"]

    def left_running(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if (entry / "cwd").readlink().is_relative_to(self.place):
                    found.append(int(entry.name))
        return found

    def tear(self) -> None:
        """Cut the journal's last line, as a crash while it was written does."""
        journal = Journal(self.workspace / "journal.jsonl")
        events = journal.events()
        if events and events[-1]["event"] in CUT:
            whole = journal.path.read_bytes()
            line = len(whole) - whole.rstrip(b"\n").rfind(b"\n") - 1
            journal.path.write_bytes(whole[: -self.chance.randint(1, line)])

    def check(self, told: str) -> None:
        """No stage that ended was begun again, and no object that ninja has as finished was written again."""
        ended = set()
        for event in Journal(self.workspace / "journal.jsonl").events():
            if event["event"] == "end":
                ended.add(event["stage"])
            elif event["event"] == "begin":
                assert event["stage"] not in ended, f"{event['stage']} was done again ({event['why']}); {told}"
        build = self.workspace / "build"
        for path, mtime in self.compiled.items():
            assert path.stat().st_mtime_ns == mtime, f"{path.name} was made again; {told}"
        with suppress(FileNotFoundError):
            for line in (build / ".ninja_log").read_text().splitlines():
                fields = line.split("\t")
                if len(fields) == 5 and fields[3].endswith((".o", ".so")):
                    path = build / fields[3]
                    self.compiled.setdefault(path, path.stat().st_mtime_ns)

    def finish(self) -> None:
        (wheel,) = self.out.glob("*.whl")
        record = json.loads(wheel.with_name(f"{wheel.name}.record.json").read_text())
        assert record["source"]["state"] == "clean"
        assert len(self.compiled) >= 20, "the objects of the canary"
        assert self.left_running() == []
        self.wheels.append(wheel)
        self.compiled.clear()
        self.here.clear()
        self.builds += 1


@pytest.mark.timeout(900)
def test_killed_fifty_times(builder: Any, tmp_path: Path) -> None:
    """Two at once: one without a compile cache and with the gate, one with a cache that is cold at first."""
    plain = ("--set", "build.ccache.enabled=false")
    sieges = [
        Siege(builder, random.Random(20), tmp_path / "plain", plain, 2),
        Siege(builder, random.Random(21), tmp_path / "cached", ("--jobs", "1"), 1),
    ]
    for siege in sieges:
        siege.place.mkdir()
    # No build may take the wheel of another: a file stands in the place of the store.
    store = Path(builder.environ["XDG_CACHE_HOME"]) / "trtllm-builder" / "wheels"
    tag_cache(store.parent)
    store.touch()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda siege: siege.lay(STRIKES // 2), sieges))
    struck = sum((siege.struck for siege in sieges), Counter[str]())
    print(sorted(struck.items()), [len(siege.wheels) for siege in sieges])
    assert struck.total() >= STRIKES
    # A stage of milliseconds may be over before a strike aimed at it comes: that hits what follows.
    assert set(sum((siege.aimed for siege in sieges), Counter[str]())) == set(MOMENTS)
    assert {one.split()[0] for one in struck} >= {"start", "tools", "compile", "verify"}
    assert {one.split()[1] for one in struck} >= {"everything", "supervisor", "ninja", "compiler"}
    builder.run()
    undisturbed = builder.wheel.read_bytes()
    plain, cached = sieges
    assert all(wheel.name == builder.wheel.name for wheel in plain.wheels + cached.wheels)
    assert all(wheel.read_bytes() == undisturbed for wheel in plain.wheels + cached.wheels)
