"""Runs inside the smoke test's own interpreter, as a file: import, one worker, one answer, one kernel.

Only the standard library and nothing of trtllm_builder, which that interpreter does not have. What it gets to is
written as JSON lines to a pipe named in its task, since standard output belongs to the wheel's own code.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

_LIMIT, _PART = 20_000, 4_000  # characters of each text that is told, and of one message in a traceback


def dump_stacks_on_signal() -> None:
    """SIGUSR1 writes all Python stacks, also in workers that multiprocessing spawns: they run this file's top level."""
    directory = os.environ.get("TRTLLM_BUILDER_SMOKE_STACKS")
    if directory:
        stream = Path(directory, f"{os.getpid()}.txt").open("w")  # noqa: SIM115 - stays open for the handler
        faulthandler.register(signal.SIGUSR1, file=stream, all_threads=True, chain=False)


class Progress:
    """Writes what was reached to an inherited descriptor, which programs that the wheel starts do not inherit."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor

    def say(self, event: str, **details: object) -> None:
        with open(self.descriptor, "w", encoding="utf-8", closefd=False) as stream:
            stream.write(json.dumps({"event": event, **details}) + "\n")


def import_all(names: list[str], progress: Progress) -> Any:
    started = time.perf_counter()
    modules = [importlib.import_module(name) for name in names]
    seconds = time.perf_counter() - started
    version = getattr(modules[0], "__version__", None)
    progress.say("imported", seconds=seconds, version=None if version is None else str(version)[:_LIMIT])
    return modules[0]


def read_build_info(name: str, progress: Progress) -> None:
    info = importlib.import_module(name + ".bindings").BuildInfo
    progress.say("build-info", multi_device=int(info.ENABLE_MULTI_DEVICE))


def get_answer(module: Any, model: str, prompt: str, progress: Progress) -> None:
    started = time.perf_counter()
    llm = module.LLM(model=model)
    result = llm.generate([prompt])
    first = result[0] if isinstance(result, (list, tuple)) else result
    outputs = getattr(first, "outputs", None)
    text = outputs[0].text if outputs else first
    progress.say("answered", seconds=time.perf_counter() - started, text=str(text)[:_LIMIT])
    if callable(getattr(llm, "shutdown", None)):
        llm.shutdown()


def launch_kernel(name: str, progress: Progress) -> None:
    """``bindings.launch(7)`` squares on the GPU, as the canary's does; other wheels launch theirs for the answer."""
    launch = getattr(importlib.import_module(name + ".bindings"), "launch", None)
    if launch is None:
        return
    started = time.perf_counter()
    text = str(launch(7))[:_LIMIT]
    if text != "49":
        raise RuntimeError(text)
    progress.say("launched", seconds=time.perf_counter() - started, text=text)


def main() -> int:
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    progress = Progress(task["progress"])
    phase = "import"
    try:
        progress.say("phase", phase=phase)
        module = import_all(task["modules"], progress)
        if task["build_info"]:
            read_build_info(task["modules"][0], progress)
        if task["answer"]:
            phase = "answer"
            progress.say("phase", phase=phase)
            get_answer(module, task["answer"]["model"], task["answer"]["prompt"], progress)
        if task["launch"] and task["build_info"]:
            phase = "launch"
            progress.say("phase", phase=phase)
            launch_kernel(task["modules"][0], progress)
    except BaseException as error:  # noqa: BLE001 - SystemExit too: a wheel that ends the interpreter is broken
        parts = traceback.format_exception(type(error), error, error.__traceback__)
        # A long message must not push out the type that stands before it.
        text = "".join(part if len(part) <= _PART else part[:_PART] + "...\n" for part in parts)
        progress.say("error", phase=phase, traceback=text[-_LIMIT:])
        return 1
    progress.say("phase", phase="exit")
    return 0


dump_stacks_on_signal()
if __name__ == "__main__":
    sys.exit(main())
