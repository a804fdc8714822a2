"""The operating system and what a build needs from it before anything else."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.host.cgroups import read_text
from trtllm_builder.host.interpreters import Interpreter
from trtllm_builder.process import run

_PROGRAMS = (
    ("git", "git", "git", "fetching the source and its submodules"),
    ("make", "make", "make", "the canary's and upstream's helper builds"),
    ("g++", "g++", "gxx", "compiling C++, and as nvcc's host compiler"),
)


@dataclass(frozen=True)
class Prerequisite:
    """Something that must be here already. ``found`` is its path, None when it is missing; then ``remedy`` helps."""

    name: str
    found: str | None
    version: str | None
    needed_for: str
    remedy: str


@dataclass(frozen=True)
class System:
    """``container`` is a guess from what containers leave behind: docker, podman, kubernetes, wsl2 or None."""

    machine: str
    os_name: str
    glibc: str | None
    python: str
    container: str | None
    root: bool
    prerequisites: tuple[Prerequisite, ...]

    @property
    def missing(self) -> tuple[Prerequisite, ...]:
        return tuple(item for item in self.prerequisites if item.found is None)


def read_system(
    environ: Mapping[str, str], interpreter: Interpreter | None, root: Path = Path("/"), *, timeout: float = 10.0
) -> System:
    """``interpreter`` is the one that the build's venv is made from; None when it was not found.

    ``timeout`` in seconds, for all programs that are asked: one that hangs has no version.
    """
    return System(
        machine=platform.machine(),
        os_name=_os_name(root),
        glibc=_glibc(),
        python=platform.python_version(),
        container=_container(environ, root),
        root=os.geteuid() == 0,
        prerequisites=(*_programs(environ, timeout), *_python(interpreter)),
    )


def _os_name(root: Path) -> str:
    """PRETTY_NAME of os-release(5)."""
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release") or ""
    match = re.search(r'^PRETTY_NAME=["\']?([^"\'\n]*)', text, re.MULTILINE)
    return match[1] if match else "unknown Linux"


def _glibc() -> str | None:
    try:
        value = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None
    return value.split()[-1] if value else None


def _container(environ: Mapping[str, str], root: Path) -> str | None:
    signs = (
        ("wsl2", "microsoft" in (read_text(root / "proc/sys/kernel/osrelease") or "").lower()),
        ("kubernetes", "KUBERNETES_SERVICE_HOST" in environ),
        ("podman", os.access(root / "run/.containerenv", os.F_OK)),
        ("docker", os.access(root / ".dockerenv", os.F_OK)),
    )
    return next((name for name, seen in signs if seen), None)


def _programs(environ: Mapping[str, str], timeout: float) -> list[Prerequisite]:
    paths = [shutil.which(name, path=environ.get("PATH", "")) for name, *_ in _PROGRAMS]
    with ThreadPoolExecutor() as every:
        versions = list(every.map(lambda path: _version(path, environ, timeout) if path else None, paths))
    return [
        Prerequisite(
            name=name,
            found=found,
            version=version,
            needed_for=use,
            remedy=f"as root: apt-get install -y {debian}; "
            f"without root: micromamba create -y -p ~/build-tools -c conda-forge {conda}, "
            "then put ~/build-tools/bin on PATH",
        )
        for (name, debian, conda, use), found, version in zip(_PROGRAMS, paths, versions, strict=True)
    ]


def _version(program: str, environ: Mapping[str, str], timeout: float) -> str | None:
    try:
        # "g++ (Debian 12.2.0-14) 12.2.0" names its version last; the others name it once.
        done = run([program, "--version"], env={**environ, "LC_ALL": "C"}, timeout=timeout)
    except OSError:
        return None
    numbers = re.findall(r"\d+(?:\.\d+)+", done.stdout.partition("\n")[0])
    return numbers[-1] if done.ok and numbers else None


def _python(interpreter: Interpreter | None) -> list[Prerequisite]:
    if interpreter is None:
        return []
    path, series = str(interpreter.path), interpreter.series
    return [
        Prerequisite(
            name=f"python{series} venv",
            found=path if interpreter.has_venv else None,
            version=interpreter.version,
            needed_for="the environment that upstream's build script runs in",
            remedy=python_remedy(series, f"python{series}-venv"),
        ),
        Prerequisite(
            name=f"python{series} headers",
            found=interpreter.include if interpreter.has_headers else None,
            version=interpreter.version,
            needed_for="compiling the bindings (Python.h)",
            remedy=python_remedy(series, f"python{series}-dev"),
        ),
    ]


def python_remedy(series: str, packages: str | None = None) -> str:
    """How to get an interpreter of ``series``, or Debian's ``packages`` for the one that is there."""
    packages = packages or f"python{series} python{series}-venv python{series}-dev"
    return (
        f"as root: apt-get install -y {packages}; without root: uv python install {series} (it brings venv and headers)"
    )
