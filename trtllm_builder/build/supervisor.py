"""Runs upstream's build in its own process group: lines to the log, progress out, peaks measured, a certain end."""

from __future__ import annotations

import codecs
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from trtllm_builder.build.measure import SessionMeter, Usage
from trtllm_builder.build.progress import Progress, advance
from trtllm_builder.process import end_group, read_stat
from trtllm_builder.text import clean, redact

_TICK = 1.0
# Looking takes at most one part in so many of the time.
_LEISURE = 300
_LONGEST_TICK = 10.0
_SHOWN_JOBS = 4
_LONGEST_LINE = 64 * 1024


@dataclass(frozen=True)
class Outcome:
    """How a supervised child ended. ``peak_memory`` is the largest sum of unshared resident bytes seen over its
    session; ``peak_disk`` the largest drop of free bytes on the workspace's file system since the start."""

    returncode: int
    seconds: float
    peak_memory: int
    peak_disk: int


def supervise(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    inherit: Sequence[int] = (),
    on_start: Callable[[int, int], None] = lambda group, start: None,
    on_tick: Callable[[Progress, Usage], Progress] = lambda progress, usage: progress,
    on_progress: Callable[[Progress, str | None], None] = lambda progress, line: None,
    waiting: Callable[[], Set[int]] = frozenset,
) -> Outcome:
    """Run ``argv`` to its end. ``on_start`` gets the group's number and its leader's start time (for the journal).
    ``on_tick`` adds to the progress what the caller knows, once a second, or as seldom as keeps the looking below a
    third of a per cent of one processor; ``on_progress`` gets the result, and every cleaned line. An exception raised
    by them, or by a signal, ends the whole group and goes on. ``waiting`` are processes that only wait for their turn.

    Standard input is empty, so that a prompt ends the build instead of waiting for ever.
    """
    started = time.monotonic()
    progress = Progress()
    peak_memory = 0
    free_at_start = lowest_free = shutil.disk_usage(log.parent).free
    child = subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(inherit),
    )
    stream = child.stdout
    if stream is None:
        raise RuntimeError("the child has no output pipe")
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pending = ""
    try:
        stat = read_stat(child.pid)
        on_start(child.pid, stat.start if stat else 0)
        meter = SessionMeter(child.pid)
        cpu, looked = 0.0, started
        with log.open("a", encoding="utf-8") as record, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            next_tick = started
            open_ = True
            while open_:
                ready = selector.select(max(0.0, next_tick - time.monotonic()))
                if ready:
                    block = os.read(stream.fileno(), 65536)
                    open_ = bool(block)
                    pending += decoder.decode(block, final=not block)
                    *lines, pending = pending.replace("\r\n", "\n").replace("\r", "\n").split("\n")
                    if len(pending) > _LONGEST_LINE or (pending and not open_):
                        lines.append(pending)
                        pending = ""
                    for raw in lines:
                        line = redact(clean(raw))
                        record.write(line + "\n")
                        progress = advance(progress, line, time.monotonic() - started)
                        on_progress(progress, line)
                    record.flush()
                elif child.poll() is not None:
                    break  # something it left behind keeps the pipe open; the group is ended below
                if time.monotonic() >= next_tick:
                    spent = time.thread_time()
                    usage = meter.read(waiting())
                    free = shutil.disk_usage(log.parent).free
                    peak_memory = max(peak_memory, usage.memory)
                    lowest_free = min(lowest_free, free)
                    now = time.monotonic()
                    progress = replace(
                        progress,
                        elapsed=now - started,
                        memory=usage.memory,
                        peak_memory=peak_memory,
                        disk_free=free,
                        peak_disk=max(0, free_at_start - lowest_free),
                        cpu=(usage.cpu - cpu) / (now - looked) if now > looked else 0.0,
                        jobs=len(usage.jobs),
                        running=tuple((job.output, round(job.seconds, 1)) for job in usage.jobs[:_SHOWN_JOBS]),
                    )
                    cpu, looked = usage.cpu, now
                    progress = on_tick(progress, usage)
                    on_progress(progress, None)
                    next_tick = now + min(max(_TICK, _LEISURE * (time.thread_time() - spent)), _LONGEST_TICK)
        returncode = child.wait()
    finally:
        # Also after a normal end: nothing that the build left running may outlive it.
        end_group(child.pid)
        child.wait()
        stream.close()
    return Outcome(returncode, time.monotonic() - started, peak_memory, max(0, free_at_start - lowest_free))
