"""A program that stands in for a compiler, a gate around it in a process of its own, and a memory cgroup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.host.cgroups import levels

MIB = 2**20
HERE = Path(__file__).parent
# What a build does, as small as it can be: a broker, and ninja with the client before each step.
SUPERVISOR = """
import json, subprocess, sys
from pathlib import Path
from trtllm_builder.build.evidence import gather, snapshot
from trtllm_builder.build.judge import BuildJudge
from trtllm_builder.build.supervisor import supervise
from trtllm_builder.gate.broker import Broker
from trtllm_builder.gate.budget import BudgetReader
from trtllm_builder.gate.learned import Learned
from trtllm_builder.gate.policy import Policy, Weight

root, reserve, expected = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

class Judge(BuildJudge):
    def weigh(self, task):
        return Weight(expected, "test", 0.0)

judge = Judge(root, "/usr/bin:/bin", Learned())
before = snapshot()
policy, budget = Policy(slots=8, largest=0.0), BudgetReader(reserve)
broker = Broker(root / "gate", root, policy=policy, judge=judge, read_budget=budget)
with broker:
    done = supervise(
        ["ninja", "-k0", "-j16"], env={"PATH": sys.argv[4]}, cwd=root, log=root / "log", waiting=lambda: broker.waiting
    )
seen = gather(before, returncode=done.returncode, alone=broker.killed, mended=broker.again)
print(json.dumps({
    "status": done.returncode, "again": broker.again, "killed": [vars(one) for one in broker.killed],
    "lost": broker.lost, "failure": repr(broker.failure), "counted": seen.killed, "sentences": seen.sentences,
    "learned": {key[0]: one.peak for key, one in judge.learned.entries.items()},
}))
"""


@pytest.fixture(scope="session")
def hog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hog") / "hog"
    subprocess.run(["cc", "-O1", "-o", made, HERE / "hog.c"], check=True)
    return made


@dataclass
class Gated:
    """A directory with a build.ninja whose steps are hogs behind the gate."""

    root: Path
    hog: Path
    path: str
    steps: list[str] = field(default_factory=list)
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def step(self, mib: int, seconds: float, how: str = "", name: str = "") -> None:
        self.steps.append(f"{name or f's{len(self.steps)}'} {mib} {seconds} {how}")

    def write(self) -> None:
        lines = [f"rule hog\n  command = {self.root}/gate/client {self.hog} $mib $seconds '$how' -o $out\n"]
        for step in self.steps:
            name, mib, seconds, *how = step.split(" ")
            lines.append(f"build {name}.o: hog\n  mib = {mib}\n  seconds = {seconds}\n  how = {' '.join(how)}\n")
        (self.root / "build.ninja").write_text("".join(lines))

    def begin(self, *, reserve: int, expected: int, enter: Sequence[str] = ()) -> subprocess.Popen[str]:
        self.write()
        words = [*enter, sys.executable, "-c", textwrap.dedent(SUPERVISOR), self.root, reserve, expected, self.path]
        child = subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.PIPE, text=True, cwd=self.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        self.children.append(child)
        return child

    def run(self, **how: Any) -> dict[str, Any]:
        child = self.begin(**how)
        out, _ = child.communicate(timeout=60)
        told: dict[str, Any] = json.loads(out)
        assert told["failure"] == "None"
        return told

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()

    @property
    def events(self) -> list[dict[str, Any]]:
        path = self.root / "gate.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def made(self) -> set[str]:
        return {path.stem for path in self.root.glob("*.o")}

    def living(self) -> list[int]:
        """Hogs of this directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (entry / "exe").readlink() == self.hog and (entry / "cwd").readlink() == self.root:
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found


@pytest.fixture
def gated(hog: Path, tmp_path: Path, toolchain: Any) -> Iterator[Gated]:
    from trtllm_builder.gate.launcher import install_client, set_slots

    path = os.pathsep.join([*map(str, toolchain.path), "/usr/bin", "/bin"])
    install_client(tmp_path / "gate", {"PATH": path})
    set_slots(tmp_path / "gate", 2)
    made = Gated(tmp_path, hog, path)
    yield made
    for child in made.children:
        if child.poll() is None:
            child.kill()
        child.communicate()
    for pid in made.living():
        os.kill(pid, 9)


@dataclass
class Cgroup:
    directory: Path
    file: str

    def limit(self, mib: int) -> None:
        (self.directory / self.file).write_text(str(mib * MIB))

    @property
    def enter(self) -> tuple[str, ...]:
        """Words before a command, which then runs in here."""
        return ("sh", "-c", f'echo $$ > {self.directory}/cgroup.procs; exec "$@"', "sh")


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """A new one below ours, with a limit on memory that the kernel enforces; skips where none can be made."""
    if os.geteuid() != 0:
        pytest.skip("making a memory cgroup takes root")
    made = None
    for level in levels("memory"):
        directory = level.directory / f"trtllm-builder-gate-{os.getpid()}"
        name = "memory.limit_in_bytes" if level.version == 1 else "memory.max"
        try:
            directory.mkdir()
            (directory / name).write_text(str(4096 * MIB))
        except OSError:
            if directory.is_dir():
                directory.rmdir()
            continue
        made = Cgroup(directory, name)
        break
    if made is None:
        pytest.skip("no memory cgroup can be made here (a read-only /sys/fs/cgroup, or no delegation)")
    yield made
    deadline = time.monotonic() + 10
    while True:
        try:
            made.directory.rmdir()
            return
        except OSError:
            assert time.monotonic() < deadline, (made.directory / "cgroup.procs").read_text()
            time.sleep(0.05)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    def wait(ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + 15
        while not ready():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
