"""Runs GitHub workflow files on this machine, job by job: what the platform does around our scripts, and no more.

A job has a fresh machine: an empty home and a workspace that is always at the same path. What outlives it went through
an action: a cache is a directory by its key, an artefact one by its name. Secrets of an environment reach the jobs that
name it; a called workflow is given none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from expressions import fill, holds, text

Yaml = Mapping[str, Any]


@dataclass
class Ended:
    """A job as it ended. ``log`` is all that its steps printed, ``summary`` what they wrote for the page of it."""

    name: str
    result: str = "success"
    outputs: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class GitHub:
    """``repository`` is what gets checked out, ``machine`` where jobs run, ``storage`` where caches and artefacts lie.
    ``environ`` is what a runner's own environment has, ``home`` (by name) the files in its home."""

    repository: Path
    machine: Path
    storage: Path
    environ: Mapping[str, str]
    home: Mapping[str, str]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    environments: Mapping[str, Mapping[str, str]]

    def run(self, name: str, number: int) -> dict[str, Ended]:
        """One run of the workflow file; all its jobs by name, those of called files as ``CALLER / JOB``."""
        shutil.rmtree(self.storage / "artifacts", ignore_errors=True)
        github = {"server_url": "https://github.invalid", "repository": "o/r", "run_id": number, "run_attempt": 1}
        github["workspace"] = str(self.machine / "work")
        return {one.name: one for one in self._workflow(name, {"github": github, "vars": self.variables}, self.secrets)}

    def _workflow(self, name: str, context: Yaml, secrets: Yaml) -> Iterator[Ended]:
        read = yaml.safe_load((self.repository / ".github" / "workflows" / name).read_text())
        ended: dict[str, Ended] = {}
        # Ours stand in an order in which each comes behind what it needs.
        for identifier, job in read["jobs"].items():
            needs = job.get("needs") or []
            wanted = [needs] if isinstance(needs, str) else needs
            status = "success" if all(ended[one].result == "success" for one in wanted) else "failure"
            before = {one: {"result": ended[one].result, "outputs": ended[one].outputs} for one in wanted}
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
                    more = self.environments.get(job.get("environment", ""), {})
                    environ = fill(read.get("env", {}), {**inside, "env": {}})
                    one = self._job(title, job, {**inside, "secrets": {**secrets, **more}}, environ)
                    whole.result, whole.outputs = one.result, one.outputs
                    yield one

    def _job(self, name: str, job: Yaml, context: Yaml, environ: Yaml) -> Ended:
        started = time.monotonic()
        shutil.rmtree(self.machine, ignore_errors=True)
        for place in ("work", "home", "temp"):
            (self.machine / place).mkdir(parents=True)
        for file, content in self.home.items():
            (self.machine / "home" / file).write_text(content)
        own = {"HOME": str(self.machine / "home"), "RUNNER_TEMP": str(self.machine / "temp")}
        machine = {**self.environ, **own, **{key: text(value) for key, value in environ.items()}}
        ended, steps = Ended(name), {}
        summary = self.machine / "summary.md"
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
        outputs, paths, script = (self.machine / name for name in ("outputs", "paths", "script.sh"))
        for path in (outputs, paths):
            path.write_text("")
        assert step["shell"] == "bash"
        script.write_text(text(fill(step["run"], context)))
        mine = {name: text(value) for name, value in fill(step.get("env", {}), context).items()}
        files = {"GITHUB_OUTPUT": outputs, "GITHUB_PATH": paths, "GITHUB_STEP_SUMMARY": self.machine / "summary.md"}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script], cwd=self.machine / "work",
            env={**machine, **mine, **{name: str(path) for name, path in files.items()}},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        ended.log += f"## {step.get('name', '')}\n{done.stdout}"
        machine["PATH"] = ":".join([*reversed(paths.read_text().splitlines()), machine["PATH"]])
        lines = (line.partition("=") for line in outputs.read_text().splitlines())
        return done.returncode == 0, {name: value for name, _, value in lines}

    def _action(self, name: str, given: Yaml) -> dict[str, str]:
        work, artifacts = self.machine / "work", self.storage / "artifacts"
        if name == "actions/checkout":
            subprocess.run(["git", "clone", "--quiet", self.repository.as_uri(), work], check=True)
        elif name == "actions/cache/save":
            paths = _lines(given["path"])
            self.save(paths, given["key"], {str(path.relative_to(work)): path for path in _fitting(work, paths)})
        elif name == "actions/cache/restore":
            place = self._caches(_lines(given["path"]))
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
            for path in sorted(artifacts.glob(given["pattern"])):
                copy(path, work / given["path"] / path.name)
        else:
            assert name == "actions/setup-python", f"the action {name} is not known here"
        return {}

    def save(self, paths: list[str], key: str, sources: Mapping[str, Path]) -> None:
        """A cache of ``paths``, as an action names them; ``sources`` by where they lie in the workspace."""
        place = self._caches(paths) / quote(key, safe="")
        # A key is written once.
        if not place.exists():
            for name, source in sources.items():
                copy(source, place / name)

    def _caches(self, paths: list[str]) -> Path:
        """Of these paths: GitHub restores a cache only to the paths that it was saved from."""
        return self.storage / "caches" / hashlib.sha256(json.dumps(paths).encode()).hexdigest()[:12]


def _lines(words: str) -> list[str]:
    return [line for line in words.split("\n") if line]


def _fitting(work: Path, patterns: list[str]) -> list[Path]:
    out = [work / one[1:] for one in patterns if one.startswith("!")]
    found = [path for one in patterns if not one.startswith("!") for path in sorted(work.glob(one))]
    return [path for path in found if path not in out]


def copy(source: Path, target: Path) -> None:
    """A file, or a directory into what is there, with its times."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
