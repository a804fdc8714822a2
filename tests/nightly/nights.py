"""Three nights of three profiles, through the rendered workflow files, into a local index: `make nightly`.

    python tests/nightly/nights.py [DIR]

The first night builds two architectures and meets a third profile that cannot compile. Of the second, with nothing new,
no compiler runs and the index stays as it is, byte for byte. The third brings one commit, and is one of GitLab's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from github import Ended, GitHub
from upstream import VERSION, Upstream, make_upstream

from trtllm_builder.data import data_dir
from trtllm_builder.profile.model import UPSTREAM_URL

BUILD = Path(sys.executable).with_name("trtllm-build")
TOKEN = "the-publishing-secret"
PROFILES = {"toy-broken": (80, "broken"), "toy-sm80": (80, "main"), "toy-sm90": (90, "stable")}
_PASSED = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "PYENV_ROOT")


class Place:
    """Everything in one directory: upstream, the repository of who builds, the platform, the index."""

    def __init__(self, root: Path) -> None:
        self.root, self.index = root, root / "index"
        (root / "upstream").mkdir(parents=True)
        self.upstream: Upstream = make_upstream(root / "upstream")
        self.repository = root / "repository"
        self.environ = {**{name: os.environ[name] for name in _PASSED if name in os.environ}, "LANG": "C.UTF-8"}
        self.home = {".gitconfig": f'[url "{self.upstream.url}"]\n\tinsteadOf = {UPSTREAM_URL}\n'}
        self._write_repository()
        self.github = GitHub(
            repository=self.repository,
            machine=root / "machine",
            storage=root / "github",
            environ=self.environ,
            home=self.home,
            variables={"TRTLLM_INDEX": str(self.index)},
            secrets={},
            environments={"trtllm-publish": {"TRTLLM_INDEX_TOKEN": TOKEN}},
        )

    def _write_repository(self) -> None:
        profiles = self.repository / "profiles"
        profiles.mkdir(parents=True)
        for name, (architecture, branch) in PROFILES.items():
            (profiles / f"{name}.yaml").write_text(
                f"schema: 1\nextends: canary\nsource: {{url: '{self.upstream.url}', ref: {branch}}}\n"
                f"cuda: {{architectures: [{architecture}]}}\n"
            )
        # `--install .` is whatever the repository's own `make setup` gives: here what runs this script.
        (self.repository / "Makefile").write_text(f"setup:\n\tln -sfn {sys.prefix} .venv\n")
        words = ["--profiles", "toy-*", "--profile-dir", "profiles", "--install", ".", "--out"]
        self.command("matrix", "--format", "github", *words, ".github/workflows")
        self.command("matrix", "--format", "gitlab", *words, ".")
        for git in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "Toys")):
            who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
            subprocess.run(["git", *who, *git], cwd=self.repository, check=True)

    def command(self, *words: str, expect: int = 0) -> str:
        """What `trtllm-build` prints, run in the repository."""
        home = {"HOME": str(self.root / "home")}
        done = subprocess.run(
            [BUILD, *words],
            cwd=self.repository,
            env={**self.environ, **home},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def published(self) -> dict[str, str]:
        """File name to sha256 of all that the index holds."""
        listed = json.loads(self.command("index", "list", str(self.index), "--json"))
        return {one["filename"]: one["sha256"] for one in listed["wheels"]}

    def history(self) -> list[dict[str, Any]]:
        """The last result of each profile, as the history has them."""
        lines = self.command("history", "--index", str(self.index), "--last", "1", "--json").splitlines()
        return sorted((json.loads(line) for line in lines), key=lambda one: str(one["profile"]))

    def pages(self) -> dict[str, str]:
        """All files and links of the index but the history, with what they hold."""
        found = {}
        for path in sorted(self.index.rglob("*")):
            if path.is_symlink():
                found[str(path)] = f"-> {path.readlink()}"
            elif path.is_file() and path != self.index / "history.jsonl":
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def say(text: str) -> None:
    print(text, flush=True)


def night(place: Place, number: int) -> dict[str, Ended]:
    """A run of GitHub's files, told job by job."""
    say(f"\nNight {number}")
    jobs = place.github.run("trtllm-nightly.yml", number)
    for job in jobs.values():
        say(f"  {job.result:8} {job.seconds:5.1f} s  {job.name}")
        if job.result == "failure":
            say("".join(f"      | {line}\n" for line in job.log.splitlines()[-6:]).rstrip())
    return jobs


def first_night(place: Place) -> dict[str, str]:
    jobs = night(place, 1)
    results = {name: job.result for name, job in jobs.items()}
    for profile in PROFILES:
        assert results[f"{profile} / Lock, build, verify"] == ("failure" if "broken" in profile else "success"), results
        assert results[f"{profile} / Go on"] == "skipped", results
    assert results["Publish and report"] == "failure", "the night is not green: one profile has no wheel"
    broken, *good = place.history()
    assert (broken["result"], broken["exit_code"], broken["stage"]) == ("failed", 6, "compile"), broken
    assert [one["result"] for one in good] == ["built", "built"], good
    published = place.published()
    assert published == {one["wheel"]: one["sha256"] for one in good}, published
    assert sorted(name.split("-")[1] for name in published) == [f"{VERSION}+sd.cu130.sm{arch}" for arch in (80, 90)]
    summary = jobs["Publish and report"].summary
    assert "2 of 3 profiles have a wheel; failed: toy-broken" in summary, summary
    assert "toy-broken" in place.command("history", "--index", str(place.index))
    no_secret_elsewhere(place, jobs)
    say("  two wheels are in the index; the broken profile is in history and summary, and the night has failed for it")
    return published


def no_secret_elsewhere(place: Place, jobs: dict[str, Ended]) -> None:
    for path in (place.root / "github").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    assert all(TOKEN not in job.log + job.summary for job in jobs.values())


def second_night(place: Place) -> None:
    # The machines' own store of wheels is lost; the index is what knows them.
    before, began = place.pages(), time.monotonic()
    jobs = night(place, 2)
    broken, *good = place.history()
    assert [one["result"] for one in good] == ["reused", "reused"], good
    assert broken["result"] == "failed"
    for one in good:
        job = jobs[f"{one['profile']} / Lock, build, verify"]
        assert "\ncompile" not in job.log and "nothing was compiled" in job.log, job.log
        assert one["hits"] is None or True
    assert place.pages() == before, "the index changed"
    say(f"  no compiler ran for what there was, the index is as it was; {time.monotonic() - began:.0f} s")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nights-") as scratch:
        place = Place(Path(sys.argv[1] if len(sys.argv) > 1 else scratch).resolve())
        tools = data_dir(dict(os.environ))
        if tools.is_dir():
            # As if a night before had left them; without this each profile downloads them once.
            paths = ["trtllm-ci/data", "trtllm-ci/cache/trtllm-builder/*", "!trtllm-ci/cache/trtllm-builder/ccache"]
            for profile in PROFILES:
                place.github.save(paths, f"trtllm-fetched/{profile}/0", {"trtllm-ci/data/trtllm-builder": tools})
        first_night(place)
        second_night(place)


if __name__ == "__main__":
    main()
