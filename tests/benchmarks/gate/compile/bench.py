"""Real nvcc on CUTLASS kernels under a limit on memory: the gate against fixed numbers of jobs.

``python bench.py --cutlass INCLUDE... --amount whole --limit 24 --plan static --out results.json`` runs what ``--plan``
says and appends to the results; ``--report`` prints the table of all that they hold. Every run is bounded, and one that
is not done by then counts as not finished. Runs that together have no more compilers than cores go side by side, each
in a cgroup of its own; what is compared with each other ran in the same company.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from one import Order  # noqa: E402
from report import table  # noqa: E402
from sources import AMOUNTS, write_sources  # noqa: E402

GIB = 2**30


def main() -> int:
    arguments = _arguments()
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    if arguments.plan:
        Bench(arguments, results).perform([word for word in arguments.plan.split(",") if word])
    print(table(results, arguments.limit * GIB, arguments.cores), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cutlass", type=Path, nargs="+", default=[], help="include directories of CUTLASS")
    parser.add_argument("--amount", choices=list(AMOUNTS), default="small")
    parser.add_argument("--limit", type=float, default=8.0, help="GiB that a run may hold")
    parser.add_argument("--plan", default="", help="static:N, cold, learned, each with xTIMES; | ends a wave")
    parser.add_argument("--bound", type=float, default=170.0, help="seconds for one run")
    parser.add_argument("--until", type=float, default=3600.0, help="seconds after which no further run is begun")
    parser.add_argument("--peaks", type=Path, help="what cold runs measure and learned ones know; default in --work")
    parser.add_argument("--work", type=Path, default=Path("/tmp/gate-bench"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "nvcc")
    return parser.parse_args()


class Bench:
    """``perform`` takes words such as ``static:4x2`` and starts each when its compilers have cores; every result is
    written at once, since whoever runs this may be ended."""

    def __init__(self, arguments: argparse.Namespace, results: list[dict[str, object]]) -> None:
        self.arguments = arguments
        self.results = results
        self.work: Path = arguments.work
        shutil.rmtree(self.work, ignore_errors=True)
        self.sources = [str(path) for path in write_sources(self.work / "source", AMOUNTS[arguments.amount])]
        self.peaks: Path = arguments.peaks or self.work / "peaks.json"
        ninja = shutil.which("ninja")
        self.ninja = [ninja] if ninja else [sys.executable, "-m", "ninja"]
        self.number = 0

    def perform(self, words: list[str]) -> None:
        began = time.monotonic()
        waiting: list[tuple[str, int] | None] = []
        for word in words:
            if word == "|":
                waiting.append(None)
                continue
            what, _, times = word.partition("x")
            waiting += [self._run(what)] * int(times or 1)
        running: list[tuple[subprocess.Popen[bytes], Order, int]] = []
        while waiting or running:
            if waiting and time.monotonic() - began > self.arguments.until:
                print(f"not begun for want of time: {waiting}", flush=True)
                waiting.clear()
            for one in list(running):
                process, order, _ = one
                if process.poll() is not None:
                    running.remove(one)
                    self.results.append(self._collect(process, order))
                    self.arguments.out.write_text(json.dumps(self.results, indent=1) + "\n")
            taken = sum(width for _, _, width in running)
            if waiting and waiting[0] is None:
                if not running:
                    waiting.pop(0)
                    continue
            elif waiting and waiting[0] is not None:
                what, width = waiting[0]
                # Until one has measured, there is nothing to have learned from.
                knows = not what.startswith("learned") or self.peaks.exists()
                if knows and (not running or taken + width <= self.arguments.cores):
                    waiting.pop(0)
                    running.append((*self._start(what), width))
                    continue
            time.sleep(0.2)

    def _run(self, what: str) -> tuple[str, int]:
        # How many cores a gated build keeps busy is not known before: it says with how many it is counted, cold:8.
        return what, int(what.partition(":")[2] or self.arguments.cores)

    def _start(self, what: str) -> tuple[subprocess.Popen[bytes], Order]:
        arguments = self.arguments
        self.number += 1
        policy, _, jobs = what.partition(":")
        place = self.work / f"run{self.number}"
        place.mkdir(parents=True)
        static = policy == "static"
        order = Order(
            name=f"-j {jobs}" if static else policy,
            policy=policy,
            jobs=int(jobs) if static else 2 * arguments.cores,
            limit=int(arguments.limit * GIB),
            timeout=arguments.bound,
            root=str(self.work / "source"),
            build=str(place / "build"),
            sources=self.sources,
            nvcc=[
                arguments.nvcc, "-std=c++17", "-O3", "--expt-relaxed-constexpr",
                "-gencode", "arch=compute_90a,code=sm_90a", "-diag-suppress", "940",
                *(f"-I{path}" for path in arguments.cutlass),
            ],
            ninja=self.ninja,
            out=str(place / "result.json"),
            cores=arguments.cores,
            peaks=str(self.peaks),
        )  # fmt: skip
        (place / "order.json").write_text(json.dumps(asdict(order)))
        with (place / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "one.py"), str(place / "order.json")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        print(f"{time.strftime('%H:%M:%S')} begun: {order.name}", flush=True)
        return process, order

    def _collect(self, process: subprocess.Popen[bytes], order: Order) -> dict[str, object]:
        out = Path(order.out)
        if process.returncode != 0 or not out.exists():
            told = out.with_name("log.txt").read_text(errors="replace")[-2000:]
            raise SystemExit(f"{order.name} could not be run:\n{told}")
        result: dict[str, object] = json.loads(out.read_text())
        log = Path(order.build, "ninja.txt").read_text(errors="replace")
        if not result["finished"]:
            print(log[-1500:], flush=True)
        # Room on the disk, and in the page cache.
        shutil.rmtree(order.build, ignore_errors=True)
        print(
            f"{time.strftime('%H:%M:%S')} {order.name}: {result['seconds']} s, finished {result['finished']}, "
            f"{result['killed']} killed, stalled {result['stalled']} s",
            flush=True,
        )
        return result


if __name__ == "__main__":
    raise SystemExit(main())
