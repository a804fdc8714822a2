"""The scripts of the job that publishes, run as the platforms run them, with `trtllm-build` and pip replaced."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from trtllm_builder.ci.lost import ARTEFACT
from trtllm_builder.ci.matrix import make_matrix
from trtllm_builder.ci.needs import Needs
from trtllm_builder.ci.runners import load_runners
from trtllm_builder.ci.workflows import Platform, Wishes, render
from trtllm_builder.index.opening import MARKER

GIB = 2**30
NEEDS = [Needs(name, 2, GIB, GIB, 90, GIB) for name in ("canary", "drift", "publish")]


def _jobs(platform: Platform, name: str = "trtllm-nightly.yml") -> dict[str, Any]:
    files = render(make_matrix(NEEDS, load_runners(None, platform)), platform, Wishes("w", "git+https://x/y@z"))
    read: dict[str, Any] = yaml.safe_load(files[name] if platform == "github" else "".join(files.values()))
    return read["jobs"] if platform == "github" else read


@dataclass
class Night:
    """Where a job runs; each program called writes a line of what it was given and of the secret that it sees."""

    root: Path
    index: Path

    def script(self, text: str, *, shell: str = "bash", **environ: str) -> tuple[int, str]:
        done = subprocess.run(
            [shell, "-c", f"set -e\n{text}"], cwd=self.root, capture_output=True, text=True, check=False,
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin", "GITHUB_OUTPUT": str(self.root / "outputs"), **environ},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def github(self, **environ: str) -> tuple[int, str]:
        step = next(one for one in _jobs("github")["publish"]["steps"] if one.get("id") == "index")
        return self.script(step["run"], **environ)

    def gitlab(self, **environ: str) -> tuple[int, str]:
        jobs = _jobs("gitlab")
        text = "\n".join([*jobs[".trtllm"]["before_script"], *jobs["publish"]["script"]])
        mine = {"CI_PROJECT_DIR": str(self.root), "TRTLLM_INDEX_TOKEN": "secret", "TRTLLM_INSTALL": "us"}
        return self.script(text, shell="sh", **mine, **jobs["publish"]["variables"], **environ)

    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def night(tmp_path: Path) -> Night:
    (tmp_path / "bin").mkdir()
    for name in ("trtllm-build", "python", "python3", "git-lfs"):
        path = tmp_path / "bin" / name
        # A virtual environment's programs are these as well.
        path.write_text(
            f'#!/bin/sh\nif [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi\n'
            f'echo "{name} $* [${{TRTLLM_INDEX_TOKEN:-}}${{TWINE_PASSWORD:-}}]" >> {tmp_path}/calls\n'
        )
        path.chmod(0o755)
    wheel = tmp_path / "trtllm-ci" / "night" / f"{ARTEFACT}canary" / "a.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    index = tmp_path / "index"
    index.mkdir()
    (index / MARKER).touch()
    return Night(tmp_path, index)


@pytest.mark.parametrize(
    ("index", "more", "told"),
    [
        ("", {}, "set the variable TRTLLM_INDEX"),
        ("INDEX", {"RUNNER_ENVIRONMENT": "github-hosted"}, "this machine is gone after the job"),
        ("nowhere", {"NEW": ""}, "there is no index in nowhere"),
    ],
)
def test_github_refuses_an_index_that_keeps_nothing(night: Night, index: str, more: dict[str, str], told: str) -> None:
    code, text = night.github(**{"NEW": "", "INDEX": index.replace("INDEX", str(night.index)), **more})
    assert (code, night.calls()) == (1, []) and text.startswith("::error") and told in text
    assert not (night.root / "outputs").exists()


def test_githubs_index_is_taken(night: Night) -> None:
    assert night.github(INDEX=str(night.index), NEW="") == (0, "")
    assert night.github(INDEX="nowhere", NEW="1")[1].startswith("::warning title=A new index::")
    assert night.calls() == []
    assert night.github(INDEX="https://host/", NEW="") == (0, "")
    assert (night.root / "outputs").read_text() == "kind=directory\nkind=directory\nkind=server\n"
    (call,) = night.calls()
    assert "install --quiet twine>=6.2" in call


@pytest.mark.parametrize(
    ("index", "new", "code"),
    [("", "", 8), ("nowhere", "", 8), ("nowhere", "1", 0), ("INDEX", "", 0), ("https://h/", "", 0)],
)
def test_gitlabs_publishes_where_there_is_an_index(night: Night, index: str, new: str, code: int) -> None:
    ended, text = night.gitlab(TRTLLM_INDEX=index.replace("INDEX", str(night.index)), TRTLLM_INDEX_NEW=new)
    assert ended == code, text
    assert ("ERROR: nothing is published" in text) is bool(code)
    assert any(" publish " in one for one in night.calls()) is (code == 0)
    kept = next(one for one in night.calls() if "history add" in one)
    beside = code == 0 and "://" not in index
    assert f"--index {night.index if index == 'INDEX' else index if beside else 'trtllm-ci/history'}" in kept
    # Refused or not: all profiles are told of.
    assert "summary trtllm-ci/night --expect canary,drift,publish" in night.calls()[-1]


def test_gitlabs_secret_is_seen_by_what_uploads_alone(night: Night) -> None:
    assert night.gitlab(TRTLLM_INDEX="https://host/")[0] == 0
    assert [one.split(" --")[0] for one in night.calls() if one.endswith("[secret]")] == [
        "trtllm-build publish trtllm-ci/night/trtllm-wheel-canary/a.whl"
    ]
    order = [word for one in night.calls() for word in (" us ", "twine", " publish ") if word in one]
    assert order == [" us ", "twine", " publish "]


def test_githubs_secret_is_in_the_step_that_publishes_alone() -> None:
    steps = [one for job in _jobs("github").values() for one in job.get("steps", ())]
    assert [one.get("id") for one in steps if "TRTLLM_INDEX_TOKEN" in str(one)] == ["publish"]
    names = [one.get("name") for one in _jobs("github")["publish"]["steps"]]
    # What is installed is installed before.
    assert names.index("Which index it is") < names.index("Publish what passed")


def test_a_profile_is_never_taken_for_something_else_of_ours() -> None:
    steps = [one for job in _jobs("github", "trtllm-wheel.yml").values() for one in job["steps"]]
    names = {one["with"]["name"] for one in steps if "upload-artifact" in one.get("uses", "")}
    assert names == {f"{ARTEFACT}${{{{ inputs.profile }}}}"}
    others = [
        one["with"]["name"]
        for job in _jobs("github").values()
        for one in job.get("steps", ())
        if "upload-artifact" in one.get("uses", "")
    ]
    assert others == ["trtllm-drift", "history"] and not any(one.startswith(ARTEFACT) for one in others)
    jobs = _jobs("gitlab")
    assert f"night/{ARTEFACT}$TRTLLM_PROFILE" in jobs[".trtllm-wheel"]["script"][0]
    keys = [one["key"] for job in jobs.values() if isinstance(job, dict) for one in job.get("cache", ())]
    assert len(set(keys)) == len(keys) == 7


def test_tools_and_sources_are_saved_anew_every_week() -> None:
    for job in _jobs("github", "trtllm-wheel.yml").values():
        restore, save = (
            next(one for one in job["steps"] if one.get("name") == f"{what} tools and sources")
            for what in ("Restore", "Save")
        )
        week = "/${{ steps.week.outputs.week }}/"
        assert week in save["with"]["key"] and save["with"]["key"] == restore["with"]["key"]
        assert save["with"]["key"].startswith(restore["with"]["restore-keys"])
        assert "!startsWith(steps.fetched.outputs.cache-matched-key" in save["if"]


@pytest.mark.parametrize(("file", "place"), [("result.json", "trtllm-wheel-alone"), ("drift.json", "trtllm-drift")])
def test_what_one_job_alone_left_comes_without_its_name(tmp_path: Path, file: str, place: str) -> None:
    """As actions/download-artifact lays it out."""
    found, several = tmp_path / "trtllm-ci" / "night", tmp_path / "several" / "trtllm-ci" / "night"
    for directory in (found, several / f"{ARTEFACT}canary"):
        directory.mkdir(parents=True)
        for name in (file, "a.whl"):
            (directory / name).write_text(name)
    step = next(one for one in _jobs("github")["publish"]["steps"] if "of its own" in one.get("name", ""))
    for root in (tmp_path, tmp_path, tmp_path / "several"):
        subprocess.run(["bash", "-ec", step["run"]], cwd=root, check=True)
    assert sorted(path.name for path in (found / place).iterdir()) == sorted((file, "a.whl"))
    assert [path.name for path in found.iterdir()] == [place]
    assert [path.name for path in several.iterdir()] == [f"{ARTEFACT}canary"]
