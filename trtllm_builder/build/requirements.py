"""The Python packages that upstream's build script wants: which ones pip would take, and exactly those, installed.

pip is asked first (``--dry-run --report``, pip 22.2 and later; pip.pypa.io, "Installation Report") and then given what
it answered, each with its hash, so that upstream's own ``pip install`` finds everything there and takes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run
from trtllm_builder.build.toolchain import make_venv
from trtllm_builder.errors import BuilderError, HostError, ProfileError
from trtllm_builder.process import Completed
from trtllm_builder.process import run as run_process
from trtllm_builder.repro.inputs import Input

_LIST = "requirements-dev.txt"
_DEADLINE = 3600.0
# Packages that upstream's script installs by name: `-m pip install conan==2.14.0`.
_NAMED = re.compile(r"-m pip install ((?:[A-Za-z][\w.-]*(?:[=<>~!]=[\w.*]+)? ?)+)")
# Lines of a requirements file that say where packages come from, or what else is to be read.
_PLACES = re.compile(r"\s*(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host|--pre)\b")
_NESTED = re.compile(r"\s*(?:-r|--requirement)[ =]\s*(\S+)")
# As pip says it, over four lines.
_MISMATCH = re.compile(r"^ +(\S+)[^\n]*:\n +Expected sha256 (\w+)\n +Got +(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Requirement:
    """One package as pip takes it: an archive by its hash. ``sha256`` is empty, and ``commit`` is not, for one that
    comes from a repository."""

    name: str
    version: str
    file: str
    sha256: str
    commit: str = ""

    def to_input(self) -> Input:
        digest = {"sha256": self.sha256} if self.sha256 else {"gitCommit": self.commit} if self.commit else {}
        named = f"?file_name={self.file}" if self.file else ""
        return Input(
            "requirement", self.name, f"pkg:pypi/{self.name}@{self.version}{named}", digest, None, self.version
        )

    @classmethod
    def from_input(cls, one: Input) -> Requirement:
        file = one.uri.partition("?file_name=")[2]
        return cls(one.name, one.version, file, one.digest.get("sha256", ""), one.digest.get("gitCommit", ""))


def wanted(source: Path) -> list[str]:
    """The words that make pip take what upstream's script would: its list, and what it installs by name."""
    words = ["--requirement", _LIST] if (source / _LIST).is_file() else []
    script = (source / "scripts" / "build_wheel.py").read_text(errors="replace")
    return [*words, *dict.fromkeys(word for match in _NAMED.finditer(script) for word in match[1].split())]


def listed(source: Path) -> dict[str, str]:
    """The files that say which packages are wanted, by the sha256 of what they hold."""
    found: dict[str, str] = {}
    waiting = [source / _LIST]
    while waiting:
        path = waiting.pop()
        inside = path.resolve().is_relative_to(source.resolve())
        if not inside or str(path) in found or not path.is_file():
            continue
        data = path.read_bytes()
        found[str(path)] = hashlib.sha256(data).hexdigest()
        waiting += [path.parent / match[1] for match in _NESTED.finditer(data.decode("utf-8", "replace"))]
    return {str(Path(path).relative_to(source)): held for path, held in sorted(found.items())}


def resolve(run: Run) -> tuple[Requirement, ...]:
    """What pip would take now, without taking it. Raises HostError with pip's own last line."""
    words = wanted(run.workspace.source)
    if not words:
        return ()
    report = run.workspace.temporary / "requirements.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    asking = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report), *words]
    done = _pip(run, asking)
    if not done.ok:
        raise _failed(run, done.stdout + done.stderr, done.last_line)
    found = [_read(one) for one in json.loads(report.read_text("utf-8"))["install"]]
    return tuple(sorted(found, key=lambda one: one.name))


def _read(one: Json) -> Requirement:
    where, said = one["download_info"], one["metadata"]
    archive = where.get("archive_info") or {}
    return Requirement(
        name=canonicalize_name(said["name"]),
        version=str(said["version"]),
        file=unquote(urlsplit(where["url"]).path.rpartition("/")[2]),
        sha256=str((archive.get("hashes") or {}).get("sha256", "")),
        commit=str((where.get("vcs_info") or {}).get("commit_id", "")),
    )


def install(run: Run, requirements: Sequence[Requirement]) -> None:
    """Exactly these into the build's venv, which is made anew when it has others.

    Raises HostError, and ProfileError for other bytes.
    """
    hashed = [one for one in requirements if one.sha256]
    lines = [
        *_places(run.workspace.source),
        *(f"{one.name}=={one.version} --hash=sha256:{one.sha256}" for one in hashed),
    ]
    text = "\n".join([*lines, ""])
    file = run.workspace.venv / "requirements.txt"
    begun = file.with_name("requirements.txt.new")
    if not hashed or (file.is_file() and file.read_text() == text):
        return
    if file.exists() or begun.exists():
        # What another list, or a pip that was killed, left in it may look whole.
        shutil.rmtree(run.workspace.venv)
        make_venv(run)
    begun.write_text(text)
    done = _pip(run, ["install", "--require-hashes", "--no-deps", "--quiet", "--requirement", str(begun)])
    if not done.ok:
        raise _failed(run, done.stdout + done.stderr, done.last_line)
    begun.replace(file)


def _places(source: Path) -> Iterator[str]:
    """Where upstream's own lists say that packages come from."""
    seen: dict[str, None] = {}
    for name in listed(source):
        text = (source / name).read_text("utf-8", errors="replace")
        seen |= dict.fromkeys(line.strip() for line in text.splitlines() if _PLACES.match(line))
    yield from seen


def _pip(run: Run, words: Sequence[str]) -> Completed:
    for directory in (run.workspace.home, run.workspace.temporary):
        directory.mkdir(parents=True, exist_ok=True)
    done = run_process(
        [run.workspace.venv / "bin/python", "-m", "pip", *words],
        env=run.environment, cwd=run.workspace.source, timeout=_DEADLINE, pass_fds=(run.lock,), on_start=run.note_child,
    )  # fmt: skip
    with run.log("requirements").open("a") as log:
        log.write(done.stdout + done.stderr)
    return done


def _failed(run: Run, output: str, last: str) -> BuilderError:
    if "DO NOT MATCH THE HASHES" in output:
        said = _MISMATCH.search(output)
        told = f"requirement {said[1]}: {said[3][:16]}, and the lock has {said[2][:16]}" if said else last
        # The hashes of a build without a lock are those that the index itself named a moment before.
        return ProfileError(
            f"this is not what was locked: {told}",
            remedy="try another index (PIP_INDEX_URL, or the profile's mirror set), or make a new lock",
            log=run.log("requirements"),
        )
    return HostError(
        f"the packages that upstream's script wants could not be had; pip says: {last}",
        remedy="check that this machine reaches a Python package index, or choose a mirror set in the profile",
        log=run.log("requirements"),
    )
