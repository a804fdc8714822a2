"""Runs GitHub workflow files on this machine, job by job: what the platform does around our scripts, and no more.

What outlives a job went through an action: a cache is a directory by its key, an artefact one by its name. Secrets of
an environment reach the jobs that name it; a called workflow is given none.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from expressions import fill, holds, text
from machine import Ended, Machine, copy

Yaml = Mapping[str, Any]


@dataclass(frozen=True)
class GitHub:
    """``storage`` has caches and artefacts; ``secrets`` are the repository's, ``environments`` have their own."""

    machine: Machine
    storage: Path
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    environments: Mapping[str, Mapping[str, str]]

    def run(self, name: str, number: int) -> Iterator[Ended]:
        """One run of the workflow file; all its jobs as they end, those of called files as ``CALLER / JOB``."""
        shutil.rmtree(self.storage / "artifacts", ignore_errors=True)
        github = {"server_url": "https://github.invalid", "repository": "o/r", "run_id": number, "run_attempt": 1}
        github["workspace"] = str(self.machine.work)
        return self._workflow(name, {"github": github, "vars": self.variables}, self.secrets)

    def _workflow(self, name: str, context: Yaml, secrets: Yaml) -> Iterator[Ended]:
        read = yaml.safe_load((self.machine.repository / ".github" / "workflows" / name).read_text())
        ended: dict[str, Ended] = {}
        # Ours stand in an order in which each comes behind what it needs.
        for identifier, job in read["jobs"].items():
            needs = job.get("needs") or []
            wanted = [needs] if isinstance(needs, str) else needs
            before = {one: {"result": ended[one].result, "outputs": ended[one].outputs} for one in wanted}
            status = "success" if all(one["result"] == "success" for one in before.values()) else "failure"
            here = {**context, "needs": before, "status": status}
            ended[identifier] = whole = Ended(job.get("name", identifier))
            if not holds(job.get("if"), here):
                whole.result = "skipped"
                yield whole
                continue
            for values in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
                inside = {**here, "matrix": values}
                title = text(fill(whole.name, inside))
                if "uses" in job:
                    # None of our callers hands on secrets.
                    called = {**context, "inputs": fill(job["with"], inside)}
                    for one in self._workflow(Path(job["uses"]).name, called, {}):
                        one.name = f"{title} / {one.name}"
                        whole.result = "failure" if one.result == "failure" else whole.result
                        yield one
                else:
                    mine = {**secrets, **self.environments.get(job.get("environment", ""), {})}
                    one = self._job(title, job, {**inside, "secrets": mine}, fill(read.get("env", {}), inside))
                    whole.result, whole.outputs = one.result, one.outputs
                    yield one

    def _job(self, name: str, job: Yaml, context: Yaml, environ: Yaml) -> Ended:
        started = time.monotonic()
        temp, summary = self.machine.place / "temp", self.machine.place / "summary.md"
        own = {"RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(summary)}
        machine = {**self.machine.start(), **own, **{name: text(value) for name, value in environ.items()}}
        ended = Ended(name)
        steps: dict[Any, dict[str, Any]] = {}
        for step in job["steps"]:
            here = {**context, "steps": steps, "env": machine, "status": ended.result}
            if not holds(step.get("if"), here):
                continue
            if "uses" in step:
                good, outputs = True, self._action(step["uses"].partition("@")[0], fill(step.get("with", {}), here))
            else:
                good, outputs = self._script(step, here, machine, ended)
            steps[step.get("id", len(steps))] = {"outputs": outputs}
            if not good and not step.get("continue-on-error"):
                ended.result = "failure"
        ended.outputs = fill(job.get("outputs", {}), {**context, "steps": steps})
        ended.summary = summary.read_text() if summary.exists() else ""
        ended.seconds = time.monotonic() - started
        return ended

    def _script(self, step: Yaml, context: Yaml, machine: dict[str, str], ended: Ended) -> tuple[bool, dict[str, str]]:
        outputs, paths = (self.machine.place / name for name in ("outputs", "paths"))
        for path in (outputs, paths):
            path.write_text("")
        assert step["shell"] == "bash"
        mine = {name: text(value) for name, value in fill(step.get("env", {}), context).items()}
        files = {"GITHUB_OUTPUT": str(outputs), "GITHUB_PATH": str(paths)}
        script = text(fill(step["run"], context))
        good = self.machine.shell("--noprofile --norc -eo pipefail", script, {**machine, **mine, **files}, ended)
        machine["PATH"] = ":".join([*reversed(paths.read_text().splitlines()), machine["PATH"]])
        lines = (line.partition("=") for line in outputs.read_text().splitlines())
        return good, {name: value for name, _, value in lines}

    def _action(self, name: str, given: Yaml) -> dict[str, str]:
        work, artifacts = self.machine.work, self.storage / "artifacts"
        if name == "actions/checkout":
            self.machine.check_out()
        elif name == "actions/cache/save":
            fitting = _fitting(work, _lines(given["path"]))
            self.save(given["path"], given["key"], {str(path.relative_to(work)): path for path in fitting})
        elif name == "actions/cache/restore":
            place = self._caches(given["path"])
            known = sorted(place.iterdir(), key=lambda one: one.stat().st_mtime) if place.is_dir() else []
            for wanted in (given["key"], *_lines(given["restore-keys"])):
                for found in reversed([one for one in known if one.name.startswith(quote(wanted, safe=""))]):
                    copy(found, work)
                    return {"cache-matched-key": found.name}
        elif name == "actions/upload-artifact":
            source, place = Path(work, given["path"]), artifacts / given["name"]
            assert given.get("overwrite") or not place.exists(), f"{given['name']} is there already"
            shutil.rmtree(place, ignore_errors=True)
            if source.exists():
                copy(source, place if source.is_dir() else place / source.name)
            else:
                assert given.get("if-no-files-found") == "ignore", f"{source} is not there"
        elif name == "actions/download-artifact":
            matching = sorted(artifacts.glob(given["pattern"]))
            for path in matching:
                # What is alone comes without its name.
                copy(path, work / given["path"] / (path.name if len(matching) > 1 else ""))
        else:
            assert name == "actions/setup-python", f"the action {name} is not known here"
        return {}

    def save(self, paths: str, key: str, sources: Mapping[str, Path]) -> None:
        """A cache of ``paths``, as an action names them; ``sources`` by where they lie in the workspace."""
        place = self._caches(paths) / quote(key, safe="")
        # A key is written once.
        if not place.exists():
            for name, source in sources.items():
                copy(source, place / name)

    def _caches(self, paths: str) -> Path:
        """Of these paths: GitHub restores a cache only to the paths that it was saved from."""
        return self.storage / "caches" / hashlib.sha256(paths.encode()).hexdigest()[:12]


def _lines(words: str) -> list[str]:
    return [line for line in words.split("\n") if line]


def _fitting(work: Path, patterns: list[str]) -> list[Path]:
    out = [work / one[1:] for one in patterns if one.startswith("!")]
    found = [path for one in patterns if not one.startswith("!") for path in sorted(work.glob(one))]
    return [path for path in found if path not in out]
