"""Runs a GitLab pipeline on this machine, job by job: what the platform does around our scripts, and no more.

Source: https://docs.gitlab.com/ci/yaml/
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml
from machine import Ended, Machine, copy

Yaml = dict[str, Any]
_WORDS = ("stages", "variables", "default", "include", "workflow")


@dataclass(frozen=True)
class GitLab:
    """``storage`` is where caches and artefacts lie; ``environments`` are the variables of each."""

    machine: Machine
    storage: Path
    variables: Mapping[str, str]
    environments: Mapping[str, Mapping[str, str]]

    def run(self, name: str, number: int) -> Iterator[Ended]:
        """A scheduled pipeline of that file; its jobs as they end."""
        read = yaml.safe_load((self.machine.repository / name).read_text())
        jobs = {title: _extended(read, title) for title in read if title not in _WORDS and not title.startswith(".")}
        artifacts = self.storage / "artifacts" / str(number)
        results: dict[str, str] = {}
        for title, job in sorted(jobs.items(), key=lambda one: read["stages"].index(one[1]["stage"])):
            needs = [one["job"] for one in job["needs"]]
            (rule,) = job["rules"]
            if rule.get("when") != "always" and "failed" in [results[one] for one in needs]:
                ended = Ended(title, "skipped")
            else:
                ended = self._job(title, job, number, [artifacts / one for one in needs], artifacts / title)
            results[title] = ended.result
            yield ended

    def _job(self, name: str, job: Yaml, number: int, before: list[Path], artifacts: Path) -> Ended:
        started, work = time.monotonic(), self.machine.work
        own = {
            "CI_PROJECT_DIR": str(work), "CI_PIPELINE_ID": str(number), "CI_PIPELINE_SOURCE": "schedule",
            "CI_JOB_URL": "https://gitlab.invalid/o/r/-/jobs/1",
        }  # fmt: skip
        environ = {**self.machine.start(), **own, **self.variables, **self.environments.get(job.get("environment"), {})}
        environ |= {key: Template(str(value)).safe_substitute(environ) for key, value in job["variables"].items()}
        self.machine.check_out()
        caches = [self.storage / "caches" / Template(one["key"]).substitute(environ) for one in job.get("cache", [])]
        for place in (*caches, *before):
            if place.is_dir():
                copy(place, work)
        ended = Ended(name)
        script = "\n".join([*job["before_script"], *job["script"]])
        if not self.machine.shell("-eo pipefail", script, environ, ended):
            ended.result = "failed"
        after = {**environ, "CI_JOB_STATUS": ended.result}
        self.machine.shell("-eo pipefail", "\n".join(job.get("after_script", [])), after, ended)
        for place, one in zip(caches, job.get("cache", []), strict=True):
            _keep(work, one["paths"], place)
        _keep(work, job["artifacts"]["paths"], artifacts)
        ended.seconds = time.monotonic() - started
        return ended

    def save(self, key: str, sources: Mapping[str, Path]) -> None:
        """A cache of that key; ``sources`` by where they lie in the project."""
        for name, source in sources.items():
            copy(source, self.storage / "caches" / key / name)


def _extended(read: Yaml, name: str) -> Yaml:
    """``extends``: maps merge by key, all else replaces."""
    job = dict(read[name])
    base = _extended(read, job.pop("extends")) if "extends" in job else {"variables": {}}
    for key, value in job.items():
        base[key] = {**base[key], **value} if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return base


def _keep(work: Path, patterns: list[str], place: Path) -> None:
    for path in [path for one in patterns for path in work.glob(one)]:
        copy(path, place / path.relative_to(work))
