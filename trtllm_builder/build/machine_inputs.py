"""What of a machine goes into a wheel: tools, toolkit, TensorRT, gcc, headers of packages, Python, the image."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from trtllm_builder.build.run import Run
from trtllm_builder.host.environments import begins_with
from trtllm_builder.process import run as run_process
from trtllm_builder.repro.inputs import Input, Kind
from trtllm_builder.repro.wheel_writer import sha256_of
from trtllm_builder.source.digest import combine, file_digest, tree_digest
from trtllm_builder.upstream.fetch_content import is_off

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
# Packages of the machine whose headers are compiled in when an option is not off: name, header, who says where it is.
_PACKAGES = (
    ("MPI", "mpi.h", "mpicxx", "ENABLE_MULTI_DEVICE"),
    ("NCCL", "nccl.h", "", "ENABLE_MULTI_DEVICE"),
    ("ZeroMQ", "zmq.h", "", "ENABLE_UCX"),
)
# The interpreter's own headers: other packages put theirs beside them.
_OF_PYTHON = ("*.h", "cpython/*.h", "internal/**/*.h")
_ASK_PYTHON = "import sysconfig; print(sysconfig.get_path('include')); print(sysconfig.get_config_h_filename())"
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
    """gcc and what it starts and links, the interpreter that the wheel is for, and what its environment begins with.

    Raises OSError.
    """
    yield _file("python", "python", python, version)
    # Where the interpreter is a small program, this is it.
    for library in sorted(python.resolve().parent.parent.glob("lib/libpython3*.so*")):
        if library.is_file() and not library.is_symlink():
            yield _file("python", library.name, library, "")
    yield from _header_input("python", "headers", _python_headers(python, environ))
    for name, number, wheel in begins_with(version):
        yield _file("python", name, wheel, number)
    program = _gcc(environ)
    if program is None:
        return
    number = run_process([program, "-dumpfullversion"], env=environ, timeout=20).stdout.strip()
    for path in (program, *_parts(program, environ)):
        yield _file("compiler", path.name, path, number if path == program else "")
    yield from _header_input("compiler", "headers", _headers(program, environ))


def package_inputs(run: Run) -> Iterator[Input]:
    """Headers of the machine's packages, of those that the plan's options have compiled in."""
    for name, files in _package_headers(run).items():
        yield from _header_input("package", f"{name} headers", files)


def package_stamp(run: Run) -> list[list[object]]:
    """What changes when one of them does, without reading them."""
    return _marks(path for files in _package_headers(run).values() for path in files)


def _package_headers(run: Run) -> dict[str, list[Path]]:
    program, values = _gcc(run.environment), {one.name: one.value for one in run.plan.switches}
    declared = {one.name for one in run.material.probe.options}
    wanted = [one for one in _PACKAGES if one[3] in declared and not is_off(values.get(one[3], ""))]
    if program is None or not wanted:
        return {}
    own, found = set(_headers(program, run.environment)), {}
    for name, header, compiler, _ in wanted:
        read = _headers(program, run.environment, (header,), _directories(compiler, run.environment))
        found[name] = [path for path in read if path not in own]
    return found


def _directories(compiler: str, environ: Mapping[str, str]) -> list[str]:
    """Where a compiler's wrapper has g++ look, as it says itself (mpicxx(1) of Open MPI and MPICH, -show)."""
    program = shutil.which(compiler, path=environ.get("PATH", os.defpath)) if compiler else None
    said = run_process([program, "-show"], env=environ, timeout=20).stdout if program else ""
    return [word for word in said.split() if word.startswith("-I")]


def _header_input(kind: Kind, name: str, files: Iterable[Path]) -> Iterator[Input]:
    """By name and not by place: where they lie is this machine's own affair."""
    if entries := [(path.name.encode(), "file", file_digest(path)) for path in files]:
        digest = combine(entries).removeprefix("sha256:")
        yield Input(kind, name, "", {"sha256": digest}, None, f"{len(entries)} files")


def host_stamp(environ: Mapping[str, str], python: Path) -> list[list[object]]:
    """What changes when one of these does, without reading them."""
    program = _gcc(environ)
    parts = [program, *_parts(program, environ), *_headers(program, environ)] if program else []
    return _marks([python, *_python_headers(python, environ), *parts])


def _marks(files: Iterable[Path]) -> list[list[object]]:
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


def _headers(
    program: Path, environ: Mapping[str, str], names: Sequence[str] = _HEADERS, options: Sequence[str] = ()
) -> list[Path]:
    """By g++'s own answer (gcc(1), -M): a rule of make, in which a space of a name has a backslash."""
    text = "".join(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in names)
    rule = run_process(
        [program, "-std=gnu++2a", *options, "-M", "-x", "c++", "-"], env=environ, timeout=60, input=text
    ).stdout.replace("\\\n", " ")
    paths = (Path(word.replace("\\ ", " ")) for word in re.split(r"(?<!\\)\s+", rule))
    return [path for path in paths if path.is_absolute() and path.is_file()]


def _python_headers(python: Path, environ: Mapping[str, str]) -> list[Path]:
    """By the interpreter's own answer. Debian keeps the configuration elsewhere than the rest."""
    try:
        said = run_process([python, "-I", "-c", _ASK_PYTHON], env=environ, timeout=60).stdout.splitlines()
    except OSError:
        said = []
    if len(said) != 2:
        return []
    own = {path for pattern in _OF_PYTHON for path in Path(said[0]).glob(pattern)}
    return sorted(path for path in {*own, Path(said[1])} if path.is_file())
