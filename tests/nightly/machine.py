"""What both platforms have: a machine that is fresh for every job, and how a job ended."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Ended:
    """A job as it ended. ``log`` is all that its scripts printed, ``summary`` what they wrote for the page of it."""

    name: str
    result: str = "success"
    outputs: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Machine:
    """``place`` is where it lives, ``repository`` what it checks out; ``environ`` is what a runner's own environment
    has, ``home`` (by name) the files in its home. The workspace is always at the same path."""

    place: Path
    repository: Path
    environ: Mapping[str, str]
    home: Mapping[str, str]

    @property
    def work(self) -> Path:
        return self.place / "work"

    def start(self) -> dict[str, str]:
        """An empty one; its environment."""
        shutil.rmtree(self.place, ignore_errors=True)
        for name in ("work", "home", "temp"):
            (self.place / name).mkdir(parents=True)
        for file, content in self.home.items():
            (self.place / "home" / file).write_text(content)
        return {**self.environ, "HOME": str(self.place / "home")}

    def check_out(self) -> None:
        subprocess.run(["git", "clone", "--quiet", self.repository.as_uri(), self.work], check=True)

    def shell(self, options: str, script: str, environ: Mapping[str, str], ended: Ended) -> bool:
        """Whether bash, with these options, ended well."""
        path = self.place / "script.sh"
        path.write_text(script)
        done = subprocess.run(
            ["bash", *options.split(), path], cwd=self.work, env=environ,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        ended.log += done.stdout
        return done.returncode == 0


def copy(source: Path, target: Path) -> None:
    """A file, or a directory into what is there, with its times."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        # Tools are large; where the disk can, they are not written again.
        subprocess.run(["cp", "--archive", "--reflink=auto", f"{source}/.", target], check=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
