"""The jobs of a night: each profile with the runner it gets and how long it may take there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trtllm_builder.ci.needs import Needs
from trtllm_builder.ci.runners import Runner, Runners, choose

# A job also checks out, restores and saves: so much of the platform's limit is not the build's, in seconds.
_MARGIN = 40 * 60
_SPARE = 5 * 60
_MOST_RESUMES = 9


@dataclass(frozen=True)
class Job:
    """``deadline`` is when the build stops by itself and ``timeout`` when the job is ended, in minutes; ``resumes`` is
    how many further jobs may go on, one after the other, with a build that ran out of time."""

    needs: Needs
    runner: Runner
    deadline: int
    timeout: int
    resumes: int

    @property
    def profile(self) -> str:
        return self.needs.profile

    def to_json(self) -> dict[str, Any]:
        runner = self.runner
        return {
            "profile": self.profile,
            "runner": {
                "labels": list(runner.labels),
                "cores": runner.cores,
                "memory": runner.memory,
                "disk": runner.disk,
                "limit_minutes": int(runner.limit // 60),
                "keep": runner.keep,
            },
            "deadline_minutes": self.deadline,
            "timeout_minutes": self.timeout,
            "resumes": self.resumes,
            "needs": self.needs.to_json(),
        }


@dataclass(frozen=True)
class Matrix:
    """``publisher`` are the labels of the runner that publishes."""

    jobs: tuple[Job, ...]
    publisher: tuple[str, ...]

    @property
    def resumes(self) -> int:
        return max(job.resumes for job in self.jobs)

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "jobs": [job.to_json() for job in self.jobs], "publisher": list(self.publisher)}


def make_matrix(needs: Sequence[Needs], runners: Runners, resumes: int | None = None) -> Matrix:
    """Without ``resumes`` each job gets as many as its longest estimate takes, and at least one. Raises HostError for a
    profile that no runner is large enough for."""
    return Matrix(tuple(_job(one, choose(one, runners), resumes) for one in needs), runners.publisher)


def _job(needs: Needs, runner: Runner, resumes: int | None) -> Job:
    margin = min(_MARGIN, runner.limit / 4)
    spare = min(_SPARE, runner.limit / 20)
    deadline, timeout = (max(1, int((runner.limit - less) // 60)) for less in (margin, spare))
    enough = min(_MOST_RESUMES, 1 + needs.seconds // (deadline * 60))
    return Job(needs, runner, deadline, timeout, enough if resumes is None else resumes)
