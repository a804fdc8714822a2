"""One build of the kernel files in a cgroup of its own, by one policy: ``python one.py FILE.json`` (see ``Order``).

The process joins the cgroup before it starts anything, so that ninja, the gate's broker and the compilers share the
limit as they do in a container. Writes a ``Result`` as JSON to the order's ``out``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from limits import Group, group
from served import gate, read_learned
from watched import Watch

from trtllm_builder.gate.learned import Learned


@dataclass(frozen=True)
class Order:
    """``policy`` is ``static``, ``cold`` or ``learned``; ``jobs`` ninja's -j; ``peaks`` the file that
    learned runs know peaks from and gated ones add theirs to; sizes in
    bytes, ``timeout`` in seconds."""

    name: str
    policy: str
    jobs: int
    limit: int
    timeout: float
    root: str
    build: str
    sources: list[str]
    nvcc: list[str]
    ninja: list[str]
    out: str
    cores: int
    peaks: str = ""


@dataclass
class Result:
    """``seconds`` to the end, or to the bound when not ``finished``. ``stalled``: seconds in which all stood still for
    memory. ``files``: source to its seconds, peak bytes and what it held at each tenth of its time."""

    name: str
    policy: str
    jobs: int
    limit: int
    finished: bool
    seconds: float
    killed: int
    stalled: float
    major_faults: int
    peak: int
    told: str = ""
    files: dict[str, dict[str, object]] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)


def write_ninja(order: Order, launcher: list[str]) -> None:
    build = Path(order.build)
    build.mkdir(parents=True, exist_ok=True)
    words = " ".join([*launcher, *order.nvcc])
    lines = ["rule nvcc", f"  command = {words} -c $in -o $out", "  description = $out"]
    objects = []
    for source in order.sources:
        name = f"{Path(source).stem}.o"
        objects.append(name)
        lines.append(f"build {name}: nvcc {source}")
    lines += [f"build all: phony {' '.join(objects)}", "default all", ""]
    (build / "build.ninja").write_text("\n".join(lines))


def perform(order: Order, within: Group) -> Result:
    before = (within.kills(), within.stalled(), within.major_faults())
    with ExitStack() as exits:
        served = None
        if order.policy != "static":
            known = read_learned(Path(order.peaks)) if order.policy == "learned" else Learned()
            if order.policy == "learned" and not known.entries:
                raise SystemExit("a learned run needs the peaks of a cold one before it")
            place = Path(order.build).with_name("gate")
            served = exits.enter_context(gate(Path(order.root), place, order.cores, known, os.environ))
        write_ninja(order, served.launcher if served else [])
        began = time.monotonic()
        with Path(order.build, "ninja.txt").open("wb") as log:
            child = subprocess.Popen(
                [*order.ninja, "-C", order.build, "-j", str(order.jobs)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "TMPDIR": order.build},
            )  # fmt: skip
            watch = Watch(child.pid)
            ended = threading.Event()
            looker = threading.Thread(target=watch.look_until, args=(ended,))
            looker.start()
            try:
                code: int | None = child.wait(order.timeout)
            except subprocess.TimeoutExpired:
                code = None
            seconds = time.monotonic() - began
            if code is None:
                os.killpg(child.pid, signal.SIGKILL)
            ended.set()
            looker.join()
            child.wait()
        within.end_all()
        if served is not None and order.policy == "cold":
            learned = served.judge.learned.merge(read_learned(Path(order.peaks)))
            Path(order.peaks).write_text(json.dumps(learned.to_json()))
    killed = within.kills() - before[0]
    return Result(
        name=order.name,
        policy=order.policy,
        jobs=order.jobs,
        limit=order.limit,
        finished=code == 0,
        seconds=round(seconds, 2),
        killed=killed,
        stalled=round(within.stalled() - before[1], 2),
        major_faults=within.major_faults() - before[2],
        peak=within.peak(),
        told="" if code == 0 else "time was up" if code is None else f"ninja ended with {code}",
        files=watch.files(),
        waits=served.waits() if served else {},
    )


def main(path: str) -> None:
    order = Order(**json.loads(Path(path).read_text()))
    with group(f"bench-{os.getpid()}", order.limit) as within:
        # We go back before the group can be removed.
        home = [Path(f"/proc/{os.getpid()}/cgroup").read_text(), within.directory.parent]
        within.join()
        try:
            result = perform(order, within)
        finally:
            _leave(within, home)
    Path(order.out).write_text(json.dumps(asdict(result)))


def _leave(within: Group, home: list[object]) -> None:
    for line in str(home[0]).splitlines():
        number, controllers, path = line.split(":", 2)
        if (within.version == 2 and number == "0") or "memory" in controllers.split(","):
            for place in (Path(f"/sys/fs/cgroup{path}"), Path(f"/sys/fs/cgroup/memory{path}")):
                if (place / "cgroup.procs").exists() and place != within.directory:
                    try:
                        (place / "cgroup.procs").write_text(str(os.getpid()))
                        return
                    except OSError:
                        continue
    Path(str(home[1]), "cgroup.procs").write_text(str(os.getpid()))


if __name__ == "__main__":
    main(sys.argv[1])
