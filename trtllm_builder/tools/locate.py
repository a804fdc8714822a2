"""Tools of this machine. A program on PATH proves little: it may be a shim, a wrapper that hangs, or too old."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.process import run
from trtllm_builder.tools.catalogue import Tool
from trtllm_builder.tools.ranges import Range


@dataclass(frozen=True)
class Candidate:
    """A program that was found. ``unfit`` says why it cannot be used, None when it can."""

    path: Path
    version: str | None
    unfit: str | None


def locate(
    tool: Tool,
    wanted: Range,
    environ: Mapping[str, str],
    *,
    beside: Iterable[Path] = (),
    timeout: float = 5.0,
) -> tuple[Candidate, ...]:
    """Every program of that name in ``beside`` and on PATH, in order, each asked within ``timeout`` seconds."""
    found: dict[str, Candidate] = {}
    for path in programs(tool.name, environ, beside):
        real = os.path.realpath(path)
        if real not in found:
            found[real] = _judge(path, tool, wanted, environ, timeout)
    return tuple(found.values())


def programs(name: str, environ: Mapping[str, str], beside: Iterable[Path] = ()) -> list[Path]:
    """Executable files called ``name`` in ``beside``, then on PATH. Relative PATH entries do not count."""
    directories = [*beside, *(Path(part) for part in environ.get("PATH", "").split(os.pathsep) if part.startswith("/"))]
    paths = (directory / name for directory in directories)
    return [path for path in paths if os.access(path, os.X_OK) and path.is_file()]


def ask(path: Path, arguments: Iterable[str], environ: Mapping[str, str], timeout: float) -> tuple[str, str | None]:
    """What a program prints, and why that cannot be relied on (None when it can)."""
    try:
        # pyenv and asdf decide by the current directory; `/` says what they do elsewhere.
        done = run([path, *arguments], env={**environ, "LC_ALL": "C"}, cwd=Path("/"), timeout=timeout)
    except OSError as error:
        return "", f"does not start: {error.strerror or error}"
    if done.timed_out:
        return "", f"did not answer within {timeout:g} s"
    if not done.ok:
        return "", f"exit status {done.returncode}: {done.last_line}"
    return done.stdout + "\n" + done.stderr, None


def _judge(path: Path, tool: Tool, wanted: Range, environ: Mapping[str, str], timeout: float) -> Candidate:
    if path.parent.name == "shims":
        return Candidate(path, None, "a version manager's shim: what it runs depends on the current directory")
    if not tool.scripts and _is_script(path):
        return Candidate(path, None, "a script, which costs its start at every single compile")
    text, unfit = ask(path, ["--version"], environ, timeout)
    if unfit:
        return Candidate(path, None, unfit)
    match = re.search(tool.pattern, text, re.MULTILINE)
    if not match:
        return Candidate(path, None, "prints no version that we understand")
    version = match[1]
    return Candidate(path, version, None if wanted.holds(version) else f"{version} is not {wanted}")


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False
