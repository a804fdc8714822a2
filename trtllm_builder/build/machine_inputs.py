"""What of a machine goes into a wheel: tools, toolkit, TensorRT, gcc, Python, the container image."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from trtllm_builder.build.run import Run
from trtllm_builder.process import run as run_process
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.wheel_writer import sha256_of

# Of the toolkit: what translates, and the libraries that are linked in.
_TOOLKIT = (
    "bin/nvcc", "nvvm/bin/cicc", "bin/cudafe++", "bin/ptxas", "bin/fatbinary", "bin/nvlink", "bin/nvcc.profile",
    "nvvm/libdevice/libdevice.10.bc", "lib64/libcudart_static.a", "lib64/libcudadevrt.a",
)  # fmt: skip
# What g++ itself starts, and what it links.
_PROGRAMS = ("cc1", "cc1plus", "as", "ld", "collect2")
_FILES = ("libstdc++.so", "libgcc.a", "libc.so.6", "crti.o")
# Variables that platforms set to the image that a container was started from, each by its digest.
_IMAGE = re.compile(r"sha256:([0-9a-f]{64})")
_IMAGE_VARIABLES = ("TRTLLM_BUILDER_IMAGE", "CI_JOB_IMAGE", "CONTAINER_IMAGE", "RUNPOD_IMAGE", "IMAGE_DIGEST")


def machine_inputs(run: Run) -> Iterator[Input]:
    """Each program by the digest of its bytes. Raises OSError for one that cannot be read."""
    paths: Mapping[str, str] = run.results["tools"]["paths"]
    versions = {tool.name: tool.version for tool in run.plan.tools}
    for name, path in sorted(paths.items()):
        if name not in ("nvcc", "tensorrt"):
            yield _file("tool", name, Path(path), versions.get(name, ""))
    root = Path(paths["nvcc"]).parent.parent
    for name in _TOOLKIT:
        if (root / name).is_file():
            yield _file("toolkit", name.rpartition("/")[2], root / name, run.results["tools"]["toolkit"])
    tensorrt = run.material.survey.tensorrt.tensorrt
    if tensorrt is not None:
        yield _file("tensorrt", "libnvinfer", tensorrt.library / "libnvinfer.so", tensorrt.version)
    yield from _gcc(run.environment)
    interpreter = Path(run.plan.python.value)
    yield _file("python", f"python{run.plan.python_version}", interpreter, run.plan.python_version)
    yield from image(run.material.request.environ)


def _file(kind: str, name: str, path: Path, version: str) -> Input:
    return Input(kind, name, digest={"sha256": sha256_of(path)}, size=path.stat().st_size, version=version)


def _gcc(environ: Mapping[str, str]) -> Iterator[Input]:
    program = shutil.which("g++", path=environ.get("PATH", os.defpath))
    if program is None:
        return
    version = run_process([program, "-dumpfullversion"], env=environ, timeout=20).stdout.strip()
    yield _file("compiler", "g++", Path(program), version)
    for option, names in (("-print-prog-name", _PROGRAMS), ("-print-file-name", _FILES)):
        for name in names:
            answer = run_process([program, f"{option}={name}"], env=environ, timeout=20).stdout.strip()
            found = shutil.which(answer, path=environ.get("PATH", os.defpath)) if "/" not in answer else answer
            if found and Path(found).is_file():
                yield _file("compiler", name, Path(found), "")


def image(environ: Mapping[str, str]) -> Iterator[Input]:
    """The container image's digest, where its platform says so in a variable."""
    for name in _IMAGE_VARIABLES:
        value = environ.get(name, "")
        if found := _IMAGE.search(value):
            yield Input("image", value.partition("@")[0] or name, digest={"sha256": found[1]}, version=f"${name}")
            return
