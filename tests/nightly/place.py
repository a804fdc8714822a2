"""Who builds every night: an upstream, a repository with profiles and the rendered workflow files, an index."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from github import GitHub
from gitlab import GitLab
from machine import Machine
from upstream import make_upstream

from trtllm_builder.data import data_dir
from trtllm_builder.profile.model import UPSTREAM_URL

TOKEN = "the-publishing-secret"
# Architecture and branch.
PROFILES = {"toy-broken": (80, "broken"), "toy-sm80": (80, "main"), "toy-sm90": (90, "stable")}
_PASSED = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "PYENV_ROOT")
# Tells its environment, and fails.
_TELL = '#!/bin/sh\ncat > "$NOTIFY_PLACE/told.json"\nenv > "$NOTIFY_PLACE/environ"\nexit 3\n'


class Site:
    """All of it in the directory ``root``, which must be new."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root, self.index, self.repository = root, root / "index", root / "repository"
        self.environ = {name: environ[name] for name in _PASSED if name in environ}
        self.environ |= {"LANG": "C.UTF-8", "NOTIFY_PLACE": str(root)}
        (root / "upstream").mkdir(parents=True)
        self.upstream = make_upstream(root / "upstream")
        self._write_repository()
        # The job that looks for upstream's drift clones what it believes to be the real one.
        home = {".gitconfig": f'[url "{self.upstream.url}"]\n\tinsteadOf = {UPSTREAM_URL}\n'}
        machine = Machine(root / "machine", self.repository, self.environ, home)
        index, secret = (
            {"TRTLLM_INDEX": str(self.index), "TRTLLM_INDEX_NEW": "1", "TRTLLM_KEEP_LAST": "1"},
            {"trtllm-publish": {"TRTLLM_INDEX_TOKEN": TOKEN}},
        )
        self.github = GitHub(machine, root / "github", index, {"TRTLLM_NOTIFY": "./tell"}, secret)
        self.gitlab = GitLab(machine, root / "gitlab", index, secret)
        tools = data_dir(environ)
        if tools.is_dir():
            self._bring(tools)

    def _write_repository(self) -> None:
        (self.repository / "profiles").mkdir(parents=True)
        for name, (architecture, branch) in PROFILES.items():
            self._profile(name).write_text(
                f"schema: 1\nextends: canary\nsource: {{url: '{self.upstream.url}', ref: {branch}}}\n"
                f"cuda: {{architectures: [{architecture}]}}\n"
            )
        # `--install .` is whatever the repository's own `make setup` gives: here what runs this script.
        (self.repository / "Makefile").write_text(f"setup:\n\t@ln -sfn {sys.prefix} .venv\n")
        (self.repository / "tell").write_text(_TELL)
        (self.repository / "tell").chmod(0o755)
        words = ("matrix", "--profiles", "toy-*", "--profile-dir", "profiles", "--install", ".", "--resumes", "1")
        self.command(*words, "--format", "github", "--out", ".github/workflows")
        self.command(*words, "--format", "gitlab", "--out", ".")
        self._git("init", "--quiet")
        self._commit()

    def _profile(self, name: str) -> Path:
        return self.repository / "profiles" / f"{name}.yaml"

    def limit(self, profile: str, size: str) -> None:
        """From now on a larger wheel of the profile is refused."""
        with self._profile(profile).open("a") as stream:
            stream.write(f"verify: {{max_size: {size}}}\n")
        self._commit()

    def _commit(self) -> None:
        self._git("add", "--all")
        self._git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--message", "Toys")

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.repository, env=self._at_home(), check=True)

    def _at_home(self) -> dict[str, str]:
        return {**self.environ, "HOME": str(self.root / "home"), "GIT_CONFIG_NOSYSTEM": "1"}

    def _bring(self, tools: Path) -> None:
        """As if a night before had left them in the caches; without them each profile downloads its own."""
        read = yaml.safe_load((self.repository / ".github/workflows/trtllm-wheel.yml").read_text())
        step = next(one for one in read["jobs"]["build"]["steps"] if one.get("id") == "fetched")
        week = time.strftime("%G-%V", time.gmtime())
        there = {"trtllm-ci/data/trtllm-builder": tools}
        for profile in PROFILES:
            self.github.save(step["with"]["path"], f"trtllm-fetched/{profile}/{week}/0", there)
            self.gitlab.save(f"trtllm-profile-{profile}", there)

    def command(self, *words: str) -> str:
        """What `trtllm-build` prints, run in the repository."""
        build = Path(sys.executable).with_name("trtllm-build")
        done = subprocess.run(
            [build, *words], cwd=self.repository, env=self._at_home(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def published(self) -> dict[str, str]:
        """File name to sha256 of all wheels of the index."""
        listed = json.loads(self.command("index", "list", str(self.index), "--json"))
        return {one["filename"]: one["sha256"] for one in listed["wheels"]}

    def history(self) -> list[dict[str, Any]]:
        """The last result of each profile, by name."""
        lines = self.command("history", "--index", str(self.index), "--last", "1", "--json").splitlines()
        return sorted((json.loads(line) for line in lines), key=lambda one: str(one["profile"]))

    def notified(self) -> tuple[dict[str, Any], str]:
        """What the program of the repository was told last, and the environment that it had."""
        return json.loads((self.root / "told.json").read_text()), (self.root / "environ").read_text()

    def tree(self) -> dict[str, str]:
        """All that the index is made of, but for its history."""
        found = {}
        for path in sorted(self.index.rglob("*")):
            if path.is_symlink():
                found[str(path)] = f"-> {path.readlink()}"
            elif path.is_file() and path.name != "history.jsonl":
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def holding_the_token(self) -> list[Path]:
        """Files that have the publishing secret in them: caches, artefacts, the index, the last machine's."""
        return [one for one in self.root.rglob("*") if one.is_file() and TOKEN.encode() in one.read_bytes()]
