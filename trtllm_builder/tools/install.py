"""Our own tools, installed by pip from hashed locks into the data directory. No root, no change to any environment."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from trtllm_builder.errors import HostError
from trtllm_builder.host.environments import make_environment
from trtllm_builder.host.interpreters import Interpreter, inspect
from trtllm_builder.host.system import python_remedy
from trtllm_builder.process import Completed, run
from trtllm_builder.tools.catalogue import TOOLS, Tool
from trtllm_builder.tools.store import Entry, Log, fill, read_entry
from trtllm_builder.tools.tree import complete_links
from trtllm_builder.units import format_size

# Of pip's settings only those that say where packages come from; a user's `target` or `user` would move ours elsewhere.
_PIP_SETTINGS = {
    *("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY"),
    *("PIP_CERT", "PIP_CLIENT_CERT", "PIP_TRUSTED_HOST", "PIP_KEYRING_PROVIDER"),
    *("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR"),
}


def installed(name: str, data_dir: Path) -> Path | None:
    """The program that an earlier run installed from the present lock, None when there is none. Writes nothing."""
    tool = TOOLS[name]
    entry = read_entry(tool.directory(data_dir))
    return entry.path / tool.binary if entry else None


def install(
    names: Iterable[str], data_dir: Path, environ: Mapping[str, str], log: Log, *, deadline: float = 3600.0
) -> dict[str, Path]:
    """Programs by name (see catalogue.TOOLS; for ``cuda13`` it is nvcc), installed where they are not yet.

    ``environ`` may name a mirror (PIP_INDEX_URL). ``deadline`` in seconds holds for each tool. Raises HostError with
    pip's own last line when a tool cannot be had.
    """
    paths = {}
    pip: list[str] = []
    for name in names:
        tool = TOOLS[name]
        path = installed(name, data_dir)
        if path is None:
            pip = pip or _pip(data_dir, environ, log)
            log(f"installing {name} {tool.version} ({format_size(tool.installed)}) into {tool.directory(data_dir)}")
            make = partial(_make, tool, pip, environ, deadline)
            path = fill(tool.directory(data_dir), make, log, needs=2 * tool.installed).path / tool.binary
        paths[name] = path
    return paths


def _make(
    tool: Tool, pip: list[str], environ: Mapping[str, str], deadline: float, tree: Path, scratch: Path
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    options = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile", "--progress-bar", "off")
    done = run(
        [*pip, "install", *options, "--no-warn-script-location", "--target", tree, "--requirement", tool.lock],
        env={**_environment(environ), "TMPDIR": str(scratch)},
        timeout=deadline,
    )
    if not done.ok:
        raise _failure(tool, done, deadline)
    if tool.name == "cuda13":
        complete_links(tree / "nvidia/cu13")
    answer = run([tree / tool.binary, "--version"], env=environ, timeout=60)
    if not answer.ok:
        raise HostError(
            f"{tool.name} {tool.version} was installed and does not run here: {answer.last_line}",
            remedy=f"install {tool.name} {tool.specifier} by other means and put it on PATH",
        )
    return {"name": tool.name, "version": tool.version, "lock": tool.digest}, (tool.binary,)


def download(name: str, directory: Path, data_dir: Path, environ: Mapping[str, str], log: Log) -> None:
    """The wheels of a tool's lock into ``directory``, for another machine of this kind. Raises as ``install`` does."""
    tool = TOOLS[name]
    options = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off")
    done = run(
        [*_pip(data_dir, environ, log), "download", *options, "--dest", directory, "--requirement", tool.lock],
        env=_environment(environ),
        timeout=3600.0,
    )
    if not done.ok:
        raise _failure(tool, done, 3600.0)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if name in _PIP_SETTINGS or not name.startswith(("PIP_", "PYTHON"))
    }
    # These outrank the user's pip.conf.
    kept.update(PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    return kept


def _failure(tool: Tool, done: Completed, deadline: float) -> HostError:
    output = done.stdout + done.stderr
    errors = [line.strip() for line in output.splitlines() if line.startswith("ERROR:")]
    last = errors[-1] if errors else done.last_line
    if done.timed_out:
        return HostError(f"{tool.name} {tool.version} was not installed within {deadline:g} s", remedy=_MIRROR)
    if "No space left on device" in output:
        return HostError(
            f"the disk is full: {tool.name} {tool.version} takes {format_size(tool.installed)}",
            remedy="free some room, or set XDG_DATA_HOME and PIP_CACHE_DIR to directories on a larger disk",
        )
    if "DO NOT MATCH THE HASHES" in output:
        return HostError(
            f"the package index served a {tool.name} {tool.version} that is not the locked one; nothing was installed",
            remedy="try another index (PIP_INDEX_URL, or the profile's mirror set); if it happens again, tell us",
        )
    return HostError(f"{tool.name} {tool.version} could not be installed; pip says: {last}", remedy=_MIRROR)


_MIRROR = (
    "check that this machine reaches a Python package index; name another one in PIP_INDEX_URL, "
    "or choose a mirror set in the profile (source.mirrors)"
)


def _pip(data_dir: Path, environ: Mapping[str, str], log: Log) -> list[str]:
    """Our interpreter's pip; where it has none (``uv tool install``), that of a venv of our own."""
    ours = [sys.executable, "-I", "-m", "pip"]
    if run([*ours, "--version"], env=_environment(environ), timeout=60).ok:
        return ours
    base = inspect(Path(sys.executable), environ)
    series = sysconfig.get_python_version()
    if base is None or not base.has_venv:
        raise HostError(
            f"Python {series} here has neither pip nor venv, and tools cannot be installed without",
            remedy=python_remedy(series, f"python{series}-venv"),
        )
    entry: Entry = fill(data_dir / "tools" / f"pip-{base.version}", partial(_make_venv, base, environ), log)
    return [str(entry.path / "bin/python"), "-I", "-m", "pip"]


def _make_venv(
    base: Interpreter, environ: Mapping[str, str], tree: Path, _scratch: Path
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    done = make_environment(base.path, tree, _environment(environ))
    if not done.ok:
        raise HostError(
            f"{base.path} could not make a venv: {done.last_line}",
            remedy=python_remedy(base.series, f"python{base.series}-venv"),
        )
    return {"name": "pip", "version": base.version}, ("pyvenv.cfg",)
