"""All that is read while upstream builds, put together once a second: progress, estimate, samples, steps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from trtllm_builder.build.cache_log import CacheLog
from trtllm_builder.build.commands import read_commands
from trtllm_builder.build.estimate import Estimator, linear
from trtllm_builder.build.measure import Usage
from trtllm_builder.build.ninja_log import NinjaLogTail, is_object
from trtllm_builder.build.progress import Progress
from trtllm_builder.build.samples import Samples, Steps

# Estimating goes through all steps that are left: a second between two for each thousand of them, at least half a one.
_STEPS_A_SECOND = 1000


class Gauges:
    """``build`` is the build directory, ``logs`` the run's, ``cache_log`` what ccache writes. ``history`` has seconds
    of steps from earlier builds, ``jobs`` is how many run at once, ``memory_limit`` what they may hold, in bytes;
    ``waited`` tells the seconds of a step that were no work."""

    def __init__(
        self,
        build: Path,
        logs: Path,
        *,
        cache_log: Path,
        history: Mapping[str, float],
        jobs: int,
        memory_limit: int,
        waited: Callable[[str], float] = lambda output: 0.0,
    ) -> None:
        self._build = build
        self._memory_limit = memory_limit
        self._waited = waited
        self.cache = CacheLog(cache_log, build)
        self._ninja = NinjaLogTail(build / ".ninja_log")
        self._estimator = Estimator(history, jobs)
        self._samples, self._steps = Samples(logs), Steps(logs)
        self._sources: dict[str, str] = {}
        self._configured = False
        self._estimated = 0.0
        self._left: float | None = None
        self.seconds: dict[str, float] = {}
        """Steps that were done, none of them a hit of the cache."""

    @property
    def fresh(self) -> bool:
        """Nothing had been compiled in this build directory before."""
        return not self._ninja.known

    def close(self) -> None:
        """Take in the steps that ended since the last tick."""
        self._take_steps(time.time())

    def tick(self, progress: Progress, usage: Usage) -> Progress:
        """The progress with what this knows."""
        now = time.time()
        if progress.phase == "build" and not self._configured:
            self._configured = True
            self._expect(progress.total)
        self._take_steps(now)
        progress = replace(progress, memory_limit=self._memory_limit, hits=self.cache.hits, misses=self.cache.misses)
        if progress.phase == "build":
            every = max(0.5, (progress.total - progress.done) / _STEPS_A_SECOND)
            if progress.elapsed - self._estimated >= every:
                self._estimated, self._left = progress.elapsed, self._estimate(progress, usage)
            left = self._left
            if left is not None:
                left = max(0.0, left - (progress.elapsed - self._estimated))
            progress = replace(progress, eta=left)
        self._samples.add(progress, now)
        return progress

    def _expect(self, total: int) -> None:
        try:
            for one in read_commands(self._build):
                self._sources[one.output] = os.path.normpath(one.source)
        except (OSError, ValueError):
            return
        made = {edge.output for edge in self._ninja.known}
        fresh = [output for output in self._sources if output not in made]
        # When much of what was compiled is compiled again, which part of it that is nobody tells.
        self._estimator.expect(fresh if len(fresh) >= total * 0.8 else self._sources)

    def _take_steps(self, now: float) -> None:
        # The cache writes before the step ends, so it is read after.
        finished = self._ninja.read(now)
        self.cache.read()
        found = []
        for one in finished:
            edge = one.edge
            hit = self.cache.hit.get(self._sources.get(edge.output, ""))
            waited = min(self._waited(edge.output), edge.seconds)
            self._estimator.finished(edge.output, edge.seconds - waited, hit=bool(hit))
            if is_object(edge.output) and not hit:
                self.seconds[edge.output] = edge.seconds - waited
            found.append((one, hit, waited))
        self._steps.add(found, self._ninja.began)

    def _estimate(self, progress: Progress, usage: Usage) -> float | None:
        built = progress.elapsed - (progress.build_started or 0.0)
        if not self._ninja.began:
            return linear(progress.done, progress.total, built)
        running = [(job.output, job.seconds) for job in usage.jobs]
        return self._estimator.left(progress.total - progress.done, built, running)
