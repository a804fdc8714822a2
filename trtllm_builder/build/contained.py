"""Who brought the shared libraries of a wheel: the build's own steps, Git LFS, a Python package, or nobody known.

Upstream's packaging copies libraries from where it finds them (NVIDIA's transfer libraries, wrappers kept in LFS), and
says nowhere what they are.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from trtllm_builder.build.inputs import gather
from trtllm_builder.build.ninja_log import read_outputs
from trtllm_builder.build.run import Run
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.libraries import Library
from trtllm_builder.repro.sbom import Contained


def contained(run: Run, libraries: Sequence[Library]) -> tuple[Contained, ...]:
    """Each with who brought it."""
    made = {PurePosixPath(output).name for output in read_outputs(run.workspace.build / ".ninja_log")}
    known = {one.digest["sha256"]: one for one in gather(run) if one.kind == "lfs" and "sha256" in one.digest}
    others = [one for one in libraries if PurePosixPath(one.member).name not in made and one.packaged not in known]
    if others:
        known |= dict(packaged_in(sorted(run.workspace.venv.glob("lib/python3*/site-packages"))))
    return tuple(
        Contained(one, PurePosixPath(one.member).name in made and one.packaged not in known, known.get(one.packaged))
        for one in libraries
    )


def packaged_in(directories: Iterable[Path]) -> Iterator[tuple[str, Input]]:
    """Shared libraries of the Python packages there, by the SHA-256 that their RECORD says."""
    for package in distributions(path=[str(directory) for directory in directories]):
        name = canonicalize_name(package.metadata["Name"] or "")
        one = Input("requirement", name, f"pkg:pypi/{name}@{package.version}", version=package.version)
        for file in package.files or ():
            if ".so" in file.name and file.hash is not None and file.hash.mode == "sha256":
                try:
                    yield base64.urlsafe_b64decode(f"{file.hash.value}==").hex(), one
                except (binascii.Error, ValueError):
                    continue
