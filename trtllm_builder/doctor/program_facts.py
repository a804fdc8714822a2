"""Facts about programs: MPI, the build's tools, CUDA toolkits, the compile cache, and namesakes of ours."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trtllm_builder.doctor.facts import Command, CompileCache, CudaToolkit, Mpi, Program
from trtllm_builder.errors import HostError
from trtllm_builder.process import run
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.locate import ask, programs
from trtllm_builder.tools.toolkit import choose_toolkit, list_toolkits

PROGRAMS = ("cmake", "ninja", "ccache", "patchelf", "cuobjdump", "git-lfs")
_LIMIT = 3.0  # seconds for one program
_MPIRUN_LIMIT = 5.0  # seconds
# What mpirun, srun and hydra set in the processes they start.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PMI_ID", "SLURM_PROCID")
# What importing a multi-device wheel does first.
_INITIALISE = (
    "import ctypes, sys; mpi = ctypes.CDLL(sys.argv[1]); sys.exit(mpi.MPI_Init(None, None) or mpi.MPI_Finalize())"
)
_KERNEL = "__global__ void set(int* value)\n{\n    *value = 1;\n}\n"


def read_mpi(environ: Mapping[str, str], root: Path = Path("/"), *, try_mpirun: bool = False) -> Mpi:
    """Process manager, launcher and libraries; whether MPI starts; ``mpirun -n 1 true`` only when asked for."""
    found = programs("mpirun", environ)
    mpirun = str(found[0]) if found else None
    libraries = sorted(name for name in loader_knows(environ) if name.startswith(("libmpi.so.", "libpmix.so.")))
    library = next((name for name in libraries if name.startswith("libmpi.so.")), None)
    with (
        tempfile.TemporaryDirectory(prefix="doctor-", ignore_cleanup_errors=True) as place,
        ThreadPoolExecutor() as both,
    ):
        # Open MPI keeps its sessions in TMPDIR, and leaves them there when it is ended.
        world = {**environ, "TMPDIR": place}
        as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        launch = [mpirun, "-n", "1", *as_root, "true"] if mpirun and try_mpirun else []
        start = [sys.executable, "-I", "-S", "-c", _INITIALISE, library] if library else []
        first, second = both.submit(_timed, start, world, _LIMIT), both.submit(_timed, launch, world, _MPIRUN_LIMIT)
        (initialised, init_why), (ran, why) = first.result(), second.result()
    return Mpi(
        manager=os.access(root / "run/pmix", os.F_OK),
        launched_by=next((name for name in _RANKS if name in environ), None),
        mpirun=mpirun,
        libraries=tuple(libraries),
        initialised=initialised,
        init_why=init_why,
        ran=ran,
        why=why,
    )


def _timed(argv: list[str], environ: Mapping[str, str], limit: float) -> tuple[float | None, str]:
    """Seconds that it took, or why it is None; nothing for an empty ``argv``."""
    if not argv:
        return None, ""
    began = time.monotonic()
    try:
        done = run(argv, env=environ, timeout=limit)
    except OSError as error:
        return None, error.strerror or str(error)
    if done.timed_out:
        return None, f"it did not come back within {limit:g} s"
    return (round(time.monotonic() - began, 3), "") if done.ok else (None, done.last_line)


def loader_knows(environ: Mapping[str, str]) -> frozenset[str]:
    """Names of libraries in the loader's cache and in LD_LIBRARY_PATH."""
    names = set()
    for directory in environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if directory.startswith("/"):
            names |= {path.name for path in Path(directory).glob("*.so*")}
    for program in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        text, unfit = ask(Path(program), ["-p"], environ, _LIMIT)
        if unfit is None:
            names |= {line.split()[0] for line in text.splitlines() if " => " in line}
            break
    return frozenset(names)


def read_program(name: str, environ: Mapping[str, str]) -> Program:
    """One of PROGRAMS: the machine's where it is fit, else ours; git-lfs we do not bring."""
    if name != "git-lfs":
        try:
            choice = choose(ToolWant(name), environ)
        except HostError as error:
            return Program(name, None, str(error))
        return Program(name, choice.version, choice.reason)
    lfs = programs(name, environ)
    text, unfit = ask(lfs[0], ["version"], environ, _LIMIT) if lfs else ("", "not here")
    words = text.split()
    return Program(name, words[0].removeprefix("git-lfs/") if words and not unfit else None, unfit or "")


def read_toolkits(environ: Mapping[str, str]) -> tuple[CudaToolkit, ...]:
    """Every CUDA toolkit of this machine, the first being what ``cuda.root: auto`` takes when it is in range."""
    return tuple(
        CudaToolkit(str(root), None, found) if isinstance(found, str) else CudaToolkit(str(found.root), found.version)
        for root, found in list_toolkits(environ)
    )


def try_cache(environ: Mapping[str, str], cuda_root: str, cuda_range: str) -> CompileCache:
    """Compiles one kernel twice through the ccache and the toolkit that a build would use; writes to a directory of
    its own."""
    try:
        cache = choose(ToolWant("ccache"), environ)
        toolkit = choose_toolkit(cuda_root, cuda_range, environ, wheels=cuda_root == "auto").toolkit
    except HostError as error:
        return CompileCache(None, str(error))
    if cache.path is None:
        return CompileCache(None, f"ccache {TOOLS['ccache'].version} is installed by the first build")
    if toolkit is None:
        return CompileCache(None, f"there is no CUDA toolkit{f' {cuda_range}' if cuda_range else ''} to try it with")
    with tempfile.TemporaryDirectory(prefix="doctor-") as name:
        place = Path(name)
        (place / "kernel.cu").write_text(_KERNEL)
        world = {
            "PATH": environ.get("PATH", os.defpath),
            "HOME": name,
            "TMPDIR": name,
            "CCACHE_DIR": str(place / "cache"),
            "CCACHE_COMPILERCHECK": "content",
        }
        argv: list[str | Path] = [cache.path, toolkit.nvcc, "-c", "kernel.cu", "-o", "kernel.o"]
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            done = run(argv, env=world, cwd=place, timeout=_LIMIT)
            seconds.append(time.monotonic() - began)
            if not done.ok:
                why = f"nvcc did not finish within {_LIMIT:g} s" if done.timed_out else f"nvcc failed: {done.last_line}"
                return CompileCache(None if done.timed_out else False, why)
        told = run([cache.path, "--print-stats"], env=world, timeout=_LIMIT).stdout
    stats = dict(line.split("\t", 1) for line in told.splitlines() if "\t" in line)
    hits = sum(int(stats.get(f"{kind}_cache_hit", "0")) for kind in ("direct", "preprocessed"))
    why = "" if hits else "the second call was compiled again"
    return CompileCache(hits > 0, why, round(seconds[0], 3), round(seconds[1], 3))


def find_commands(environ: Mapping[str, str]) -> tuple[Command, ...]:
    """Every ``trtllm-build`` on PATH, in order: TensorRT-LLM's engine compiler has that name too."""
    return tuple(Command(str(path), _whose(path)) for path in programs("trtllm-build", environ))


def _whose(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(4096)
    except OSError:
        return "unknown"
    if b"trtllm_builder" in text or path.resolve().parent == Path(sys.executable).parent:
        return "ours"
    return "TensorRT-LLM" if b"tensorrt_llm" in text else "unknown"
