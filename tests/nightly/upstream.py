"""An upstream whose wheels may be published: the canary's tree, without what says that it is one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder import canary

VERSION = "0.0.1"
_KERNEL = "cpp/tensorrt_llm/kernels/square.cu"
_HEADER = "cpp/include/tensorrt_llm/kernels/numeric.cuh"
_SOMEBODY = {f"GIT_{who}_{what}": "dev@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Upstream:
    """A real git repository with the branches ``main``, ``stable`` and ``broken``, which does not compile."""

    repository: Path

    @property
    def url(self) -> str:
        return self.repository.as_uri()

    def change_a_kernel(self) -> str:
        """One more commit on ``main``; its id."""
        self._git("checkout", "--quiet", "main")
        return self._commit(
            "A kernel says more", {_KERNEL: ("namespace tensorrt_llm", "// Changed.\nnamespace tensorrt_llm")}
        )

    # As if of another day each, none of them today: no wheel may be named after the day of its build.
    def _commit(self, message: str, changes: dict[str, tuple[str, str]]) -> str:
        for name, (old, new) in changes.items():
            path = self.repository / name
            text = path.read_text()
            assert old in text, f"{old!r} is not in the canary's {name}"
            path.write_text(text.replace(old, new, 1))
        day = f"2026-01-{2 + int(self._git('rev-list', '--count', 'HEAD')):02d}T00:00:00Z"
        self._git("commit", "--quiet", "--date", day, "--message", message, "--", *changes, GIT_COMMITTER_DATE=day)
        return self._git("rev-parse", "HEAD")

    def _git(self, *words: str, **more: str) -> str:
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **_SOMEBODY,
            **more,
        }
        argv = ["git", "-C", self.repository, *words]
        return subprocess.run(argv, env=environ, check=True, capture_output=True, text=True).stdout.strip()


def make_upstream(directory: Path) -> Upstream:
    """What it takes from elsewhere, a submodule and a library that CMake fetches, lies in ``directory`` too."""
    canary.serve(directory)
    repository = directory / canary.url().removeprefix(canary.BASE)
    upstream = Upstream(repository.rename(directory / "upstream.git"))
    elsewhere = f"{directory.as_uri()}/"
    upstream._git("checkout", "--quiet", "-b", "main")
    upstream._commit(
        "No canary",
        {
            "tensorrt_llm/version.py": ("0.0.0+canary", VERSION),
            "setup.py": ('"Private :: Do Not Upload", ', ""),
            ".gitmodules": (canary.BASE, elsewhere),
            "cpp/CMakeLists.txt": (canary.BASE, elsewhere),
        },
    )
    upstream._git("branch", "stable")
    upstream._git("checkout", "--quiet", "-b", "broken")
    upstream._commit(
        "A slip", {_HEADER: ("namespace tensorrt_llm", "#error broken on purpose\nnamespace tensorrt_llm")}
    )
    return upstream
