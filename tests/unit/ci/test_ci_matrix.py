from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from trtllm_builder.ci.matrix import Matrix, make_matrix
from trtllm_builder.ci.needs import Needs, matching
from trtllm_builder.ci.runners import load_runners
from trtllm_builder.ci.schedule import require_cron
from trtllm_builder.ci.workflows import FILES, Platform, Wishes, render
from trtllm_builder.errors import BuilderError, HostError, ProfileError, UsageError

GIB = 2**30
SMALL = Needs("canary", 2, 4 * GIB, GIB, 90, GIB)
LARGE = Needs("h200-ci", 2, 14 * GIB, 63 * GIB, 43200, 6 * GIB)


def _render(
    platform: Platform, *needs: Needs, publish: bool = True, options: tuple[str, ...] = (), **wishes: Any
) -> dict[str, str]:
    found = make_matrix(needs or (SMALL, LARGE), load_runners(None, platform))
    asked: dict[str, Any] = {"words": "words", "install": "trtllm-builder==1", **wishes}
    return render(found, platform, Wishes(publish=publish, options=options, **asked))


def test_one_job_a_profile_gone_on_with_in_time_and_one_that_publishes() -> None:
    files = {name: yaml.safe_load(text) for name, text in _render("github").items()}
    night, wheel = files["trtllm-nightly.yml"], files["trtllm-wheel.yml"]
    small, large = night["jobs"]["wheel"]["strategy"]["matrix"]["include"]
    assert (small["profile"], json.loads(small["runner"])) == ("canary", ["ubuntu-24.04"])
    assert json.loads(large["runner"]) == ["self-hosted", "linux", "x64"]
    for job, limit in ((small, 6 * 60), (large, 5 * 24 * 60)):
        assert job["deadline"] + 30 < job["timeout"] < limit
    steps = [step for job in wheel["jobs"].values() for step in job["steps"]]
    for saved in (step for step in steps if "cache/save" in step.get("uses", "")):
        assert "always()" in saved["if"]
    assert wheel["jobs"]["resume-1"]["if"] == "${{ needs.build.outputs.state == 'unfinished' }}"
    assert "secrets" not in json.dumps(wheel)
    holders = [name for name, job in night["jobs"].items() if "secrets.TRTLLM_INDEX_TOKEN" in json.dumps(job)]
    assert holders == ["publish"]
    assert night["jobs"]["publish"]["environment"] == "trtllm-publish"
    assert night["jobs"]["publish"]["needs"] == ["wheel", "drift"]
    alone = _render("github", publish=False)["trtllm-nightly.yml"]
    assert "INDEX" not in alone
    assert "publish" not in yaml.safe_load(alone)["jobs"]


def test_gitlabs_jobs_go_on_one_after_the_other() -> None:
    (text,) = _render("gitlab").values()
    jobs = yaml.safe_load(text)
    # Twelve hours in jobs of 140 minutes.
    assert [name for name in jobs if name.endswith(":h200-ci")] == [
        ".profile:h200-ci", "wheel:h200-ci", *(f"resume-{number}:h200-ci" for number in range(1, 7))
    ]  # fmt: skip
    assert jobs["resume-2:h200-ci"]["needs"] == [{"job": "resume-1:h200-ci", "artifacts": True}]
    assert {one["job"] for one in jobs["publish"]["needs"]} == {"drift", "resume-1:canary", "resume-6:h200-ci"}
    profile = jobs[".profile:canary"]
    assert {one["when"] for one in profile["cache"]} == {"always"}
    # A script that is ended for its time leaves some for what comes after it and for the caches.
    script, after = (
        int(profile["variables"][f"RUNNER_{name}_TIMEOUT"].rstrip("m")) for name in ("SCRIPT", "AFTER_SCRIPT")
    )
    assert (profile["timeout"], script, after) == ("175 minutes", 157, 8)
    assert [name for name, job in jobs.items() if "environment" in job] == ["publish"]
    # Every job's shell puts it out of the way of programs; one line gives it to one.
    assert [name for name, job in jobs.items() if "TRTLLM_INDEX_TOKEN" in json.dumps(job)] == [".trtllm"]
    lines = [line for name, job in jobs.items() for line in json.dumps(job).split("\\n") if "$token" in line]
    assert len(lines) == 1 and 'TWINE_PASSWORD=\\"$token\\" trtllm-build publish ' in lines[0]


@pytest.mark.parametrize("evil", ["${{ secrets.X }}", "a\nrun: evil", "$(id)", "x: y #", "", "..", "a b", '"', "-x"])
def test_a_name_that_would_not_stay_one_is_refused(evil: str) -> None:
    for platform in FILES:
        with pytest.raises(UsageError, match="cannot be the name of a job"):
            _render(platform, Needs(evil, 2, GIB, GIB, 90, GIB))


@pytest.mark.parametrize(
    ("wish", "value"),
    [
        ("install", "x ${{ secrets.X }}"), ("install", ""), ("install", "--index-url=http://x"), ("image", "x\ny: z"),
        ("schedule", '* * * * *"\n  push:'), ("schedule", "* * *"), ("python", "2.7"), ("python", '3.12"'),
        ("options", ("--set", "a=${{ secrets.X }}")), ("options", ("--profile-dir", "x\ny")),
    ],
)  # fmt: skip
def test_a_wish_that_would_not_stay_a_value_is_refused(wish: str, value: Any) -> None:
    found = make_matrix([SMALL], load_runners(None, "github"))
    with pytest.raises(UsageError):
        render(found, "github", Wishes(**{"words": "w", "install": "x", wish: value}))


@pytest.mark.parametrize("text", ["17 2 * * *", "*/15 0-23/2 1,15 JAN-Mar,12 sun-SAT", "59 23 31 12 6", "0 0 1 1 0"])
def test_schedules(text: str) -> None:
    require_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "99 99 * * *", "60 2 * * *", "1 2 0 * *", "1 2 * * 7", "1 2 * JAN MON-", "*/0 2 * * *", "1 5-2 * * *",
        "1 2 * FOO *", "1, 2 * * *", "1 2 * * * *",
    ],
)  # fmt: skip
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(UsageError, match="--schedule"):
        require_cron(text)


def test_quotes_and_colons_stay_in_their_values() -> None:
    option = "build.cmake.X='a: b' # \"c\""
    text = _render("github", SMALL, install='we"ird: #pkg', options=("--set", option))["trtllm-wheel.yml"]
    jobs = yaml.safe_load(text)["jobs"]
    step = next(step for step in jobs["build"]["steps"] if step.get("name") == "Install trtllm-builder")
    assert step["env"]["WANTED"] == 'we"ird: #pkg'
    run = next(step["run"] for step in jobs["build"]["steps"] if step.get("id") == "build")
    done = subprocess.run(
        ["bash", "-c", run.replace("exec trtllm-build", "printf '%s\\n'")], capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stdout.splitlines()[-2:] == ["--set", option]
    words = render(make_matrix([SMALL], load_runners(None, "github")), "github", Wishes("a\nb: ${{ c }}", "x"))
    for file in words.values():
        assert file.splitlines()[0] == "# Made by: a b: $ {{ c }}"


def test_profiles_by_pattern() -> None:
    found = matching(["autodl-*, canary", "c*"], (), os.environ)
    assert found == ["autodl-4090", "canary"]
    assert "base/single-device" not in matching(["*"], (), os.environ)
    for pattern in ("nope-*", "", ","):
        with pytest.raises(UsageError):
            matching([pattern], (), os.environ)


def test_a_broken_profile_is_no_job(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("schema: 1\npython: 5\n")
    with pytest.raises(ProfileError):
        matching(["broken"], [tmp_path], os.environ)


def _runner(**values: str) -> str:
    fields = {"labels": "[x]", "cores": "2", "memory": "1 GiB", "disk": "1 GiB", "limit": "1 h", **values}
    inside = ", ".join(f"{name}: {value}" for name, value in fields.items())
    return f"schema: 1\nrunners: [{{{inside}}}]\npublisher: x"


@pytest.mark.parametrize("text", [
    "", "[]", "schema: 1", "schema: 1\nrunners: []\npublisher: [x]", "schema: 1\nrunners: 5\npublisher: x",
    _runner(labels="['${{ secrets.X }}']"), _runner(labels="[]"), _runner(cores="0"), _runner(keep="relative"),
    _runner(memory="lots"), _runner(limit="1 d"), _runner(cost="5"), "\x00", "a: &b [*b]",
])  # fmt: skip
def test_runners_that_are_none_are_said_with_their_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "runners.yaml"
    path.write_text(text)
    with pytest.raises(BuilderError) as raised:
        load_runners(path, "github")
    assert str(path) in str(raised.value)


def test_a_profile_that_no_runner_is_large_enough_for() -> None:
    with pytest.raises(HostError, match="no runner is large enough for big") as raised:
        make_matrix([Needs("big", 64, GIB, GIB, 60, GIB)], load_runners(None, "github"))
    assert "--runners" in raised.value.remedy


def test_a_short_limit_still_leaves_time_to_save() -> None:
    runners = load_runners(None, "gitlab")
    hour = runners.model_copy(update={"runners": (runners.runners[1].model_copy(update={"limit": 3600.0}),)})
    found: Matrix = make_matrix([SMALL], hour)
    assert (found.jobs[0].deadline, found.jobs[0].timeout) == (45, 57)
