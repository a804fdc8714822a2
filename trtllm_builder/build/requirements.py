"""The Python packages that upstream's build script wants: which ones pip would take, and exactly those, installed.

pip is asked first (``--dry-run --report``, pip 22.2 and later; pip.pypa.io, "Installation Report") and then given what
it answered, each with its hash, so that upstream's own ``pip install`` finds everything there and takes nothing. What
comes as source is built with exactly the packages that it was first seen to be built with: as build constraints with
hashes (``--build-constraint``, pip 25.3) they let pip take nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from trtllm_builder.build.journal import Json
from trtllm_builder.build.requirement import Requirement
from trtllm_builder.build.run import Run
from trtllm_builder.build.toolchain import make_venv
from trtllm_builder.errors import BuilderError, HostError, ProfileError
from trtllm_builder.process import Completed
from trtllm_builder.process import run as run_process
from trtllm_builder.text import redact

_LIST = "requirements-dev.txt"
_DEADLINE = 3600.0
# Packages that upstream's script installs by name: `-m pip install conan==2.14.0`.
_NAMED = re.compile(r"-m pip install ((?:[A-Za-z][\w.-]*(?:[=<>~!]=[\w.*]+)? ?)+)")
# Lines of a requirements file that say where packages come from, or what else is to be read.
_PLACES = re.compile(r"\s*(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host|--pre)\b")
_NESTED = re.compile(r"\s*(?:-r|--requirement)[ =]\s*(\S+)")
# As pip says it, over two lines and over four.
_UNLOCKED = re.compile(r"In --require-hashes mode, all requirements must have [^\n]*\n\s*(\S+)")
# What pip says of the environment in which it builds, deeper in than of its own work.
_BUILT_WITH = re.compile(r"^\s+Successfully installed (.+)$", re.MULTILINE)
# One hash makes pip ask for all of them, where nothing is needed too.
_NOTHING_ELSE = f"none==0 --hash=sha256:{'0' * 64}"
_MISMATCH = re.compile(r"^ +(\S+)[^\n]*:\n +Expected sha256 (\w+)\n +Got +(\w+)", re.MULTILINE)


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
    """What pip would take now, without taking it, and what it would build that with. Raises HostError with pip's own
    last line."""
    words = wanted(run.workspace.source)
    if not words:
        return ()
    make_venv(run)
    found = _ask(run, *words)
    return (*found, *(backend for one in found if one.is_built for backend in _built_with(run, one)))


def _ask(run: Run, *words: str) -> list[Requirement]:
    return _reported(run, "install", "--dry-run", "--ignore-installed", "--quiet", *words)


def _reported(run: Run, *words: str) -> list[Requirement]:
    """What pip takes, as it says itself."""
    report = run.workspace.temporary / "requirements.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    _pip(run, *words, "--report", str(report))
    found = [_read(one) for one in json.loads(report.read_text("utf-8"))["install"]]
    return sorted(found, key=lambda one: one.name)


def _built_with(run: Run, one: Requirement) -> list[Requirement]:
    """What pip takes to build it with, none of which may be built first itself."""
    source = ("--only-binary", ":all:", "--no-binary", one.name)
    words = ("install", "--dry-run", "--ignore-installed", "--no-deps", "--no-cache-dir", "--verbose", *source)
    # What goes on inside is told on stderr.
    said = _pip(run, *words, "--requirement", _written(run, "built.txt", one.line)).stderr
    pins = {word.rpartition("-")[::2] for match in _BUILT_WITH.finditer(said) for word in match[1].split()}
    if not pins:
        return []
    pinned = _written(run, "backends.txt", *sorted(f"{name}=={version}" for name, version in pins))
    found = _ask(run, "--no-deps", "--only-binary", ":all:", "--requirement", pinned)
    return [replace(each, needed_by=one.name) for each in found]


def _written(run: Run, name: str, *lines: str) -> str:
    """A requirements file of these, to be found where upstream's lists say."""
    file = run.workspace.temporary / name
    file.write_text("\n".join([*_places(run.workspace.source), *lines, ""]))
    return str(file)


def _read(one: Json) -> Requirement:
    where, said = one["download_info"], one["metadata"]
    archive = where.get("archive_info") or {}
    commit = str((where.get("vcs_info") or {}).get("commit_id", ""))
    return Requirement(
        name=canonicalize_name(said["name"]),
        version=str(said["version"]),
        file="" if commit else unquote(urlsplit(where["url"]).path.rpartition("/")[2]),
        sha256=str((archive.get("hashes") or {}).get("sha256", "")),
        commit=commit,
        url=redact(str(where["url"])) if commit else "",
    )


def install(run: Run, requirements: Sequence[Requirement]) -> None:
    """Exactly these into the build's venv, which is made when it is not whole, and made anew when it has others.

    Raises HostError, and ProfileError for other bytes.
    """
    make_venv(run)
    built = [one for one in requirements if one.is_built]
    ready = [one for one in requirements if one.sha256 and not one.is_built and not one.needed_by]
    backends = {one: [each for each in requirements if each.needed_by == one.name] for one in built}
    lines = [f"{one.line}  # {one.file}" for one in ready]
    for one in built:
        lines += [f"# {one.line}", *(f"#   built with {each.line}" for each in backends[one])]
    text = "\n".join([*_places(run.workspace.source), *lines, ""])
    file = run.workspace.venv / "requirements.txt"
    begun = file.with_name("requirements.txt.new")
    if not (ready or built) or (file.is_file() and file.read_text() == text):
        return
    if file.exists() or begun.exists():
        # What another list, or a pip that was killed, left in it may look whole.
        shutil.rmtree(run.workspace.venv)
        make_venv(run)
    begun.write_text(text)
    exactly = ("--require-hashes", "--no-deps", "--quiet")
    if ready:
        _check_names(ready, _reported(run, "install", *exactly, "--requirement", str(begun)))
    for one in built:
        only = _written(run, "backends.txt", _NOTHING_ELSE, *(each.line for each in backends[one]))
        # Not what pip made of it some other time, with other packages.
        words = ("install", "--no-deps", "--quiet", "--no-cache-dir", "--build-constraint", only)
        _pip(run, *words, "--requirement", _written(run, "built.txt", one.line))
        if one.url and backends[one]:
            lines = [each.line for each in backends[one]]
            _pip(run, "download", *exactly, "--dest", packages_kept(run), "--requirement", _written(run, "b", *lines))
    begun.replace(file)


def _check_names(wanted: Sequence[Requirement], taken: Sequence[Requirement]) -> None:
    """Of a package that is known by its hash the lock tells the file's name too. Raises ProfileError."""
    names = {one.name: one.file for one in taken}
    for one in wanted:
        found = names.get(one.name, one.file)
        if found != one.file:
            raise ProfileError(
                f"this is not what was locked: requirement {one.name}: {found}, and the lock has {one.file}",
                remedy="make a new lock: trtllm-build lock --profile NAME -o FILE",
            )


def packages_kept(run: Run) -> str:
    """A directory of packages without which upstream's own pip cannot look at what comes from a repository, although
    it is installed."""
    return str(run.workspace.venv / "backends")


def _places(source: Path) -> Iterator[str]:
    """Where upstream's own lists say that packages come from."""
    seen: dict[str, None] = {}
    for name in listed(source):
        text = (source / name).read_text("utf-8", errors="replace")
        seen |= dict.fromkeys(line.strip() for line in text.splitlines() if _PLACES.match(line))
    yield from seen


def _pip(run: Run, *words: str) -> Completed:
    """Raises HostError, and ProfileError for what was not locked."""
    for directory in (run.workspace.home, run.workspace.temporary):
        directory.mkdir(parents=True, exist_ok=True)
    done = run_process(
        [run.workspace.venv / "bin/python", "-m", "pip", *words],
        env=run.environment, cwd=run.workspace.source, timeout=_DEADLINE, pass_fds=(run.lock,), on_start=run.note_child,
    )  # fmt: skip
    with run.log("requirements").open("a") as log:
        log.write(done.stdout + done.stderr)
    if not done.ok:
        raise _failed(run, done.stdout + done.stderr, done.last_line)
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
    if (unlocked := _UNLOCKED.search(output)) is not None:
        return ProfileError(
            f"this is not what was locked: something is built with {unlocked[1]}, which the lock does not have",
            remedy="make a new lock: trtllm-build lock --profile NAME -o FILE",
            log=run.log("requirements"),
        )
    return HostError(
        f"the packages that upstream's script wants could not be had; pip says: {last}",
        remedy="check that this machine reaches a Python package index, or choose a mirror set in the profile",
        log=run.log("requirements"),
    )
