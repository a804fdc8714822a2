"""What of a machine goes into a wheel: tools, toolkit, TensorRT, gcc, Python, the container image."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from trtllm_builder.build.run import Run
from trtllm_builder.process import run as run_process
from trtllm_builder.repro.inputs import Input, Kind
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.source.digest import combine, file_digest, tree_digest

# Of the toolkit: what translates, and what is linked in.
_TOOLKIT = (
    "bin/nvcc", "nvvm/bin/cicc", "bin/cudafe++", "bin/ptxas", "bin/fatbinary", "bin/nvlink", "bin/nvcc.profile",
    "nvvm/libdevice/libdevice.10.bc", "lib64/libcudart_static.a", "lib64/libcudadevrt.a",
)  # fmt: skip
# The last two stand for themselves; what a cache hands out is what the compilers made, and a listing changes nothing.
_NO_INPUTS = ("ccache", "cuobjdump", "nvcc", "tensorrt")
# What g++ starts, and what it links.
_PROGRAMS = ("cc1", "cc1plus", "as", "ld", "collect2")
_FILES = ("libstdc++.so", "libgcc.a", "libc.so.6", "crti.o")
# Whatever g++ reads for these: headers of the C and C++ libraries, of the kernel and of its own. Not all that lies
# where it looks, since another package's headers there are no part of it.
_HEADERS = (
    "bits/stdc++.h", "cxxabi.h", "execinfo.h", "immintrin.h", "dlfcn.h", "fcntl.h", "ifaddrs.h", "link.h", "netdb.h",
    "poll.h", "pthread.h", "sched.h", "semaphore.h", "spawn.h", "unistd.h", "arpa/inet.h", "netinet/tcp.h",
    "sys/epoll.h", "sys/eventfd.h", "sys/file.h", "sys/ioctl.h", "sys/mman.h", "sys/prctl.h", "sys/resource.h",
    "sys/sysinfo.h", "sys/syscall.h", "sys/un.h", "sys/wait.h",
)  # fmt: skip
# The image's digest: our own variable for whoever starts the container, then GitLab's, whose images may be pinned.
_VARIABLES = ("TRTLLM_BUILDER_IMAGE", "CI_JOB_IMAGE")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
# podman writes it into privileged containers (podman-run(1)); in others it is empty.
_CONTAINER = Path("/run/.containerenv")
_IMAGE_ID = re.compile(r'^imageid="([0-9a-f]{64})"$', re.MULTILINE)


def tool_inputs(run: Run) -> Iterator[Input]:
    """Tools, toolkit and TensorRT, each file by its digest, after the tools stage. Raises OSError."""
    paths: Mapping[str, str] = run.results["tools"]["paths"]
    versions = {tool.name: tool.version for tool in run.plan.tools}
    for name, path in sorted(paths.items()):
        if name not in _NO_INPUTS:
            yield _file("tool", name, Path(path), versions.get(name, ""))
    root = Path(paths["nvcc"]).parent.parent
    for name in _TOOLKIT:
        if (root / name).is_file():
            yield _file("toolkit", name.rpartition("/")[2], root / name, run.results["tools"]["toolkit"])
    headers = (root / "include").resolve()
    if headers.is_dir():
        digest = tree_digest(headers).removeprefix("sha256:")
        yield Input("toolkit", "include", "", {"sha256": digest}, version=run.results["tools"]["toolkit"])
    tensorrt = run.material.survey.tensorrt.tensorrt
    if tensorrt is not None:
        yield _file("tensorrt", "libnvinfer", tensorrt.library / "libnvinfer.so", tensorrt.version)


def host_inputs(environ: Mapping[str, str], python: Path, version: str) -> Iterator[Input]:
    """gcc and what it starts and links, and the interpreter that the wheel is for. Raises OSError."""
    yield _file("python", "python", python, version)
    # Where the interpreter is a small program, this is it.
    for library in sorted(python.resolve().parent.parent.glob("lib/libpython3*.so*")):
        if library.is_file() and not library.is_symlink():
            yield _file("python", library.name, library, "")
    program = _gcc(environ)
    if program is None:
        return
    number = run_process([program, "-dumpfullversion"], env=environ, timeout=20).stdout.strip()
    for path in (program, *_parts(program, environ)):
        yield _file("compiler", path.name, path, number if path == program else "")
    headers = _headers(program, environ)
    if headers:
        # By name and not by place: where they lie is this machine's own affair.
        digest = combine((path.name.encode(), "file", file_digest(path)) for path in headers)
        yield Input(
            "compiler", "headers", "", {"sha256": digest.removeprefix("sha256:")}, None, f"{len(headers)} files"
        )


def host_stamp(environ: Mapping[str, str], python: Path) -> list[list[object]]:
    """What changes when one of these does, without reading them."""
    program = _gcc(environ)
    parts = [program, *_parts(program, environ), *_headers(program, environ)] if program else []
    files = [python, *parts]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def image_inputs(environ: Mapping[str, str]) -> tuple[Input, ...]:
    """The container image that this runs in, where somebody says; ``version`` tells who did."""
    for name in _VARIABLES:
        if found := _DIGEST.search(environ.get(name, "")):
            return (Input("image", "container", environ[name].partition("@")[0], {"sha256": found[1]}, None, name),)
    try:
        said = _IMAGE_ID.search(_CONTAINER.read_text(errors="replace"))
    except OSError:
        said = None
    return (Input("image", "container", "", {"sha256": said[1]}, None, "podman"),) if said else ()


def _file(kind: Kind, name: str, path: Path, version: str) -> Input:
    return Input(kind, name, "", {"sha256": sha256_of(path)}, path.stat().st_size, version)


def _gcc(environ: Mapping[str, str]) -> Path | None:
    found = shutil.which("g++", path=environ.get("PATH", os.defpath))
    return Path(found) if found else None


def _parts(program: Path, environ: Mapping[str, str]) -> list[Path]:
    """By g++'s own answers (gcc(1), -print-prog-name and -print-file-name): a bare name is looked for on PATH."""
    found = []
    for option, names in (("-print-prog-name", _PROGRAMS), ("-print-file-name", _FILES)):
        for name in names:
            answer = run_process([program, f"{option}={name}"], env=environ, timeout=20).stdout.strip()
            place = answer if "/" in answer else shutil.which(answer, path=environ.get("PATH", os.defpath))
            if place and Path(place).is_file():
                found.append(Path(place))
    return found


def _headers(program: Path, environ: Mapping[str, str]) -> list[Path]:
    """By g++'s own answer (gcc(1), -M): a rule of make, in which a space of a name has a backslash."""
    text = "".join(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in _HEADERS)
    rule = run_process(
        [program, "-std=gnu++2a", "-M", "-x", "c++", "-"], env=environ, timeout=60, input=text
    ).stdout.replace("\\\n", " ")
    paths = (Path(word.replace("\\ ", " ")) for word in re.split(r"(?<!\\)\s+", rule))
    return [path for path in paths if path.is_absolute() and path.is_file()]
