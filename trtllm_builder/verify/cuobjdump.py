"""NVIDIA's cuobjdump as second opinion on the GPU code of a library."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trtllm_builder.process import Completed, run
from trtllm_builder.verify.library import Library

_PROBE = 10.0  # seconds to tell its version
_TIMEOUT = 120.0  # seconds for one library; 852 MB take about 1.5
_MOST = 64 << 20  # bytes of one listing; a line is about 60
_LISTED = re.compile(r"^(ELF|PTX) file\s+\d+: .*\.(sm_\d+a?)f?\.(?:cubin|ptx)\s*$", re.MULTILINE)
_RELEASE = re.compile(r"release (\d+)\.(\d+)")
_KNOWN = re.compile(r"'(sm_\d+)'")


@dataclass(frozen=True)
class SecondOpinion:
    """All empty: the same entries. ``unusable``: why the tool cannot judge; ``difference``: what it sees otherwise."""

    unusable: str = ""
    difference: str = ""


def find_cuobjdump(environ: Mapping[str, str]) -> Path | None:
    """From PATH, CUDA_HOME or CUDA_PATH, the package nvidia-cuda-cuobjdump, or Triton's, in this order."""
    places = [Path(place) for place in environ.get("PATH", "").split(os.pathsep) if place.startswith("/")]
    places += [Path(environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    for entry in map(Path, sys.path):
        places += [*sorted(entry.glob("nvidia/cu*/bin"), reverse=True), entry / "triton/backends/nvidia/bin"]
    return next((at for place in places if os.access(at := place / "cuobjdump", os.X_OK) and at.is_file()), None)


def ask(tool: Path, file: Path, library: Library, environ: Mapping[str, str]) -> SecondOpinion:
    """Compares ``library`` (read by us) with what ``tool`` lists in ``file``, entry counts included.

    The family suffix is dropped on our side: ``--list-elf`` prints sm_100 for sm_100f. PTX it lists as sm_89.
    """
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **environ}
    linked = any(target.linked for target in library.targets)
    ours = Counter[tuple[str, str]]()
    for target in library.targets:
        # Without --all-fatbin it reads the linked code when there is any, else the relocatable code.
        if target.linked == linked and target.kind in ("cubin", "ptx"):
            name = target.name.replace("compute_", "sm_").removesuffix("f")
            ours["ELF" if target.kind == "cubin" else "PTX", name] += target.count
    try:
        why, release, known = _about(tool, tuple(sorted(env.items())))
        if why:
            return SecondOpinion(unusable=why)
        listed = run([tool, "--list-elf", "--list-ptx", file], env=env, timeout=_TIMEOUT, most=_MOST)
    except OSError as error:
        return SecondOpinion(unusable=f"cuobjdump cannot be run: {error}")
    if release and library.cuda and release < library.cuda:
        # It lists such code all the same, sm_90a as sm_90.
        told = [".".join(map(str, one)) for one in (release, library.cuda)]
        return SecondOpinion(
            unusable=f"cuobjdump {told[0]} is older than this code, which CUDA {told[1]} or later made"
        )
    newer = sorted({name for _, name in ours if _number(name) > max(map(_number, known), default=10_000)})
    if newer:
        return SecondOpinion(unusable=f"cuobjdump is older than this code: it does not know {', '.join(newer)}")
    return _compare(library, listed, ours, file)


def _compare(library: Library, listed: Completed, ours: Counter[tuple[str, str]], file: Path) -> SecondOpinion:
    if listed.timed_out:
        return SecondOpinion(unusable=f"cuobjdump did not list {library.path} within {_TIMEOUT:g} s")
    if not listed.ok:
        said = listed.last_line.replace(str(file), library.name)
        return SecondOpinion(unusable=f"cuobjdump cannot read {library.path}: {said}")
    theirs = Counter((kind, name) for kind, name in _LISTED.findall(listed.stdout))
    if not theirs and ours:
        # It says so and exits with 0, or is something else of that name.
        return SecondOpinion(unusable=f"cuobjdump lists nothing that we understand in {library.path}")
    if theirs == ours:
        return SecondOpinion()
    return SecondOpinion(
        difference=f"{library.path}: only we see {_told(ours - theirs)}; only cuobjdump sees {_told(theirs - ours)}"
    )


@cache
def _about(tool: Path, env: tuple[tuple[str, str], ...]) -> tuple[str, tuple[int, int] | None, frozenset[str]]:
    """Why it is of no use, its CUDA release, and what ``--help`` says it can decode; empty and None where it does not
    say."""
    told = run([tool, "--version"], env=dict(env), timeout=_PROBE)
    if told.timed_out or told.flooded:
        why = f"did not tell its version within {_PROBE:g} s" if told.timed_out else "writes without end"
        return f"cuobjdump {why}", None, frozenset()
    release = _RELEASE.search(told.stdout)
    known = _KNOWN.findall(run([tool, "--help"], env=dict(env), timeout=_PROBE).stdout)
    return "", (int(release[1]), int(release[2])) if release else None, frozenset(known)


def _number(target: str) -> int:
    return int("".join(filter(str.isdigit, target)))


def _told(entries: Counter[tuple[str, str]]) -> str:
    return ", ".join(f"{count} x {name} {kind}" for (kind, name), count in sorted(entries.items())) or "nothing"
