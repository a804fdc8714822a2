"""Workflow files as the vendors' own schemas and zizmor see them, and matrices from real plans."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

import trtllm_builder
from trtllm_builder.ci.matrix import make_matrix
from trtllm_builder.ci.needs import Needs, needs_of
from trtllm_builder.ci.runners import load_runners
from trtllm_builder.ci.workflows import FILES, Platform, Wishes, render
from trtllm_builder.cli.matrix import matrix as command

pytestmark = pytest.mark.integration
app = typer.Typer()
app.command()(command)
GIB = 2**30
SMALL = Needs("canary", 2, 4 * GIB, GIB, 90, GIB)
LARGE = Needs("h200-ci", 2, 14 * GIB, 63 * GIB, 43200, 6 * GIB)
BIN = Path(sys.executable).parent


def _render(
    platform: Platform, *needs: Needs, publish: bool = True, options: tuple[str, ...] = (), **wishes: Any
) -> dict[str, str]:
    found = make_matrix(needs or (SMALL, LARGE), load_runners(None, platform))
    asked: dict[str, Any] = {"words": "words", "install": "trtllm-builder==1", **wishes}
    return render(found, platform, Wishes(publish=publish, options=options, **asked))


def _scripts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _scripts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _scripts(item)]
    return [value] if isinstance(value, str) and "trtllm-build " in value and "\n" in value else []


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every shape of the files, as a repository has them."""
    root = tmp_path_factory.mktemp("rendered")
    keep = load_runners(None, "github").model_copy(update={"runners": tuple(
        one.model_copy(update={"keep": "/srv/it's kept"}) for one in load_runners(None, "github").runners
    )})  # fmt: skip
    shapes: dict[str, dict[str, str]] = {
        "gh": _render("github"),
        "gh-alone": _render("github", SMALL, publish=False, options=("--set", "build.job_memory='8 GiB'")),
        "gh-kept": render(make_matrix([SMALL], keep, 3), "github", Wishes("w", ".")),
        "gl": _render("gitlab"),
        "gl-alone": _render("gitlab", SMALL, publish=False, options=("--profile-dir", "my profiles")),
        "gl-kept": render(make_matrix([SMALL, LARGE], keep, 0), "gitlab", Wishes("w", ".")),
    }
    for name, files in shapes.items():
        directory = root / name / (".github/workflows" if name.startswith("gh") else ".")
        directory.mkdir(parents=True)
        for file, text in files.items():
            (directory / file).write_text(text)
    return root


def test_every_script_is_one_that_a_shell_reads(rendered: Path) -> None:
    scripts = [text for path in rendered.rglob("*.yml") for text in _scripts(yaml.safe_load(path.read_text()))]
    assert len(scripts) > 20
    for text in set(scripts):
        shell = "bash" if "shopt" in text or "drift=()" in text or "${{" in text else "sh"
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{text}"


@dataclass
class Job:
    """Runs a job of GitLab's as its runner does: before_script and script in one shell, after_script in another."""

    project: Path
    jobs: dict[str, Any]

    def run(self, name: str, status: str, build: str, *, after: bool = True) -> int:
        """``build`` is what the build does, in words of the shell; the job is ended for ``status`` if that hangs."""
        job: dict[str, Any] = {}
        for part in (".trtllm", ".trtllm-wheel", ".profile:canary", name):
            job = {
                **job,
                **self.jobs[part],
                "variables": {**job.get("variables", {}), **self.jobs[part].get("variables", {})},
            }
        fake = self.project / "bin"
        fake.mkdir(exist_ok=True)
        build = f'while [ "$1" != --outputs ]; do shift; done\n{build}'
        for tool, text in {"trtllm-build": build, "make": "", "git-lfs": ""}.items():
            (fake / tool).write_text(f"#!/bin/sh\n{text}\n")
            (fake / tool).chmod(0o755)
        environ = {"PATH": f"{fake}:/usr/bin:/bin", "CI_PROJECT_DIR": str(self.project), "CI_JOB_URL": "u"}
        environ |= {
            key: str(value).replace("$CI_PROJECT_DIR", str(self.project)) for key, value in job["variables"].items()
        }
        script = "\n".join(["set -e", *job["before_script"], *job["script"]])
        done = subprocess.run(["sh", "-c", script], cwd=self.project, env=environ, check=False, capture_output=True)
        if after:
            text = "\n".join(job["after_script"])
            environ["CI_JOB_STATUS"] = status
            subprocess.run(["sh", "-c", text], cwd=self.project, env=environ, check=True, capture_output=True)
        return done.returncode


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (text,) = _render("gitlab", SMALL, install=".").values()
    return Job(tmp_path, yaml.safe_load(text))


# A build that writes an object file, and ends as it is told to: by itself or with its shell.
OBJECT = 'mkdir -p trtllm-ci/build-canary/report; echo "$TRTLLM_GOES_ON" >> trtllm-ci/build-canary/a.o; : > '
OBJECT += "trtllm-ci/build-canary/report/summary.md; "
KILLED = "kill -9 $PPID"


def _state(state: str, code: int) -> str:
    return OBJECT + f'echo state={state} >> "$2"; exit {code}'


def _next_machine(job: Job) -> None:
    """A fresh machine has what caches and artefacts hold, and no more."""
    shutil.rmtree(job.project / "trtllm-ci" / "build-canary")


@pytest.mark.parametrize(
    ("status", "build", "code", "goes_on"),
    [
        ("success", _state("unfinished", 143), 0, True),
        ("failed", OBJECT + KILLED, -9, True),
        ("canceled", OBJECT + KILLED, -9, False),
        ("failed", _state("failed", 6), 6, False),
    ],
)
def test_gitlabs_next_job_goes_on_with_what_the_one_before_it_left(
    job: Job, status: str, build: str, code: int, goes_on: bool
) -> None:
    assert job.run("wheel:canary", status, build) == code
    kept = job.project / "trtllm-ci" / "workspace.tar"
    # Kept in every case: the job can be given again.
    assert kept.is_file()
    _next_machine(job)
    assert job.run("resume-1:canary", "success", _state("done", 0)) == 0
    made = job.project / "trtllm-ci" / "build-canary" / "a.o"
    assert made.read_text() == "no\nyes\n" if goes_on else not made.exists()
    assert kept.exists() != goes_on


def test_gitlabs_workspace_that_is_not_whole_is_begun_anew(job: Job) -> None:
    job.run("wheel:canary", "success", _state("unfinished", 143))
    kept = job.project / "trtllm-ci" / "workspace.tar"
    kept.write_bytes(kept.read_bytes()[:1500])
    _next_machine(job)
    assert job.run("resume-1:canary", "success", _state("done", 0)) == 0
    assert (job.project / "trtllm-ci" / "build-canary" / "a.o").read_text() == "yes\n"


def test_our_own_workflows_are_what_the_command_makes_now() -> None:
    root = Path(trtllm_builder.__file__).parents[1]
    directory = root / ".github" / "workflows"
    words = ["--profiles", "canary", "--format", "github", "--install", ".", "--no-publish"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    wanted = [f"# file: {name}\n{(directory / name).read_text()}\n" for name in FILES["github"]]
    assert done.stdout == "".join(wanted)


def test_the_jobs_as_json(validate: Callable[[str, object], None]) -> None:
    done = CliRunner().invoke(app, ["--profiles", "canary"])
    document = json.loads(done.stdout)
    validate("matrix", document)
    (job,) = document["jobs"]
    assert (job["profile"], job["needs"]["cores"], job["resumes"]) == ("canary", 2, 1)
    assert job["needs"]["memory"] >= 4 * GIB


def test_what_a_profile_wants_counts(tmp_path: Path) -> None:
    (tmp_path / "four.yaml").write_text(
        "schema: 1\nextends: canary\nbuild: {jobs: 4, job_memory: 3 GiB, reserve: 1 GiB}\n"
    )
    found = needs_of("four", (), [tmp_path], os.environ)
    assert (found.cores, found.memory, found.memory_for(8)) == (4, 13 * GIB, 26 * GIB)


@pytest.mark.parametrize(("schema", "pattern"), [("github-workflows", "gh*/**/*.yml"), ("gitlab-ci", "gl*/*.yml")])
def test_the_vendors_schema_takes_every_file(rendered: Path, schema: str, pattern: str) -> None:
    transform = ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
    found = sorted(map(str, rendered.glob(pattern)))
    assert len(found) == (6 if schema == "github-workflows" else 3)
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *transform, *found],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_injection_no_loose_secret_and_no_unpinned_action(rendered: Path) -> None:
    argv = [BIN / "zizmor", "--offline", "--no-progress", "--min-severity", "medium", *sorted(rendered.glob("gh*"))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
