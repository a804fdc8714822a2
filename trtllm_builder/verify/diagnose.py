"""From what a failed smoke test left behind to a sentence that a person can act on."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from trtllm_builder.units import format_size


@dataclass(frozen=True)
class Diagnosis:
    """``id`` is stable; ``what`` and ``remedy`` are sentences."""

    id: str
    what: str
    remedy: str


@dataclass(frozen=True)
class _Rule:
    id: str
    pattern: re.Pattern[str]
    what: str
    remedy: str


def _rule(id: str, pattern: str, what: str, remedy: str) -> _Rule:
    return _Rule(id, re.compile(pattern), what, remedy)


_REBUILD = "Build it single-device: ENABLE_MULTI_DEVICE=0 and the patch set single-device."
_GPU = "The container was given no GPU: start it with --gpus all (or the provider's GPU option)."
# The first that matches wins, so the particular stands before the general. Braces take the pattern's groups.
_RULES = (
    _rule("libmpi-missing", r"(libmpi[\w+]*\.so[.\d]*): cannot open", "{0} is missing: the wheel links MPI.", _REBUILD),
    _rule(
        "mpi4py-missing", r"No module named '(mpi4py[\w.]*)'", "{0} is missing: the wheel still imports it.", _REBUILD
    ),
    _rule(
        "mpi-init-failed",
        r"ompi_mpi_init: |An error occurred in MPI_Init|before MPI_INIT completed|orte_init failed",
        "MPI cannot be started here, and the wheel starts it.",
        _REBUILD,
    ),
    _rule("no-driver", r"(libnvidia-ml\.so\.1|libcuda\.so\.1): cannot open", "The driver's {0} is missing.", _GPU),
    _rule("no-driver", r"NVML Shared Library Not Found", "The driver's libnvidia-ml.so.1 is missing.", _GPU),
    _rule(
        "no-driver",
        r"Found no NVIDIA driver|cudaErrorStubLibrary|CUDA driver is a stub",
        "There is no NVIDIA driver here.",
        _GPU,
    ),
    _rule("no-device", r"no CUDA-capable device|CUDA_ERROR_NO_DEVICE", "The driver is here, and no GPU.", _GPU),
    _rule(
        "cuda-major",
        r"(lib(?:cublas|cudart|cufft|curand|cusolver|cusparse|cupti|nvrtc|nvJitLink)\w*\.so\.[\d.]+): cannot",
        "{0} is missing: the wheel was built for another CUDA major version than the one installed.",
        "Install the CUDA libraries of that major version, or build the wheel for the one that is there.",
    ),
    _rule(
        "tensorrt-missing",
        r"(libnvinfer\w*\.so[.\d]*): cannot open",
        "{0} is missing: TensorRT is not installed, or is another version.",
        "Install the tensorrt package that the wheel requires.",
    ),
    _rule(
        "library-missing",
        r"([\w.+-]+\.so[.\d]*): cannot open shared object",
        "{0} is missing.",
        "Install the package that carries it, or bundle it in the wheel.",
    ),
    _rule(
        "torch-abi",
        # Mangled names of torch's own namespaces: 3c10, 2at, 5torch.
        r"undefined symbol: (_Z\w*?(?:3c10|2at|5torch)\w*|aoti_torch_\w+)",
        "PyTorch lacks {0}: the wheel was built against another PyTorch, or with the other C++ ABI.",
        "Install the PyTorch version that the wheel was built against.",
    ),
    _rule(
        "undefined-symbol",
        r"undefined symbol: (\w+)",
        "The symbol {0} is nowhere to be found.",
        "A library that the wheel was linked against is another version here, or was left out of the link.",
    ),
    _rule(
        "glibc-too-old",
        r"version [`'](GLIBC_[\d.]+)'? not found",
        "This system's C library is too old: {0} is needed.",
        "Build the wheel on a system as old as the oldest it must run on.",
    ),
    _rule(
        "libstdcxx-too-old",
        r"version [`']((?:GLIBCXX|CXXABI)_[\d.]+)'? not found",
        "This system's libstdc++ is too old: {0} is needed.",
        "Build with an older g++, or install a newer libstdc++.",
    ),
    _rule(
        "wrong-python",
        r"(?:is not a supported wheel on this platform|not compatible with the current (?:Python|platform)"
        r"|no wheels? with a matching (?:Python|platform))",
        "The wheel was made for another Python version or platform than this interpreter's.",
        "Give the interpreter it was made for with --python, or build for this one.",
    ),
    _rule(
        "no-kernel-image",
        r"no kernel image is available|cudaErrorNoKernelImageForDevice|CUDA_ERROR_NO_BINARY_FOR_GPU",
        "The wheel holds no GPU code for this machine's GPU.",
        "Add the GPU's architecture to cuda.architectures in the profile and build again.",
    ),
    _rule(
        "ptx-too-new",
        r"PTX was compiled with an unsupported toolchain|cudaErrorUnsupportedPtxVersion|CUDA_ERROR_UNSUPPORTED_PTX",
        "The wheel's PTX is newer than this driver, which cannot translate it.",
        "Build with machine code for this GPU (cuda.architectures), which an older driver of the same major version "
        "runs, or install a newer driver.",
    ),
    _rule(
        "driver-too-old",
        r"driver version is insufficient|cudaErrorInsufficientDriver",
        "The NVIDIA driver is too old for this wheel's CUDA.",
        "CUDA 12.x needs driver 525 or newer, CUDA 13.x 580 or newer: build for what the driver runs.",
    ),
    _rule(
        "dependency-missing",
        r"(?:No matching distribution found for|Could not find a version that satisfies the requirement) (\S+)",
        "The dependency {0} cannot be found on the package index.",
        "Pass the index that has it (PIP_INDEX_URL or PIP_EXTRA_INDEX_URL), or correct the wheel's requirements.",
    ),
    _rule(
        "dependency-missing",
        r"No solution found when resolving",
        "The wheel's dependencies cannot be resolved from the package index.",
        "Pass the index that has them (UV_INDEX), or correct the wheel's requirements.",
    ),
    _rule(
        "worker-died",
        r"BrokenProcessPool|terminated abruptly|[Ww]orker\b.{0,40}\b(?:died|exited|was killed)",
        "The worker process died before it answered.",
        "Its own message stands in the output above the traceback; out of memory is the commonest cause.",
    ),
    _rule(
        "module-missing",
        r"No module named '([\w.]+)'",
        "The Python module {0} is missing.",
        "Declare it in the wheel's requirements, or patch out its import.",
    ),
)
_MPI = re.compile(r"mpi4py|\bMPI_|mpi_comm|\bompi_|\bpmix", re.IGNORECASE)
_MPI_LIBRARY = re.compile(r"mpi|pmix", re.IGNORECASE)
_WHEN = {
    "import": "when it is imported",
    "answer": "at first use",
    "launch": "when a kernel is launched",
    "exit": "when it ends",
}


def diagnose_failure(phase: str, text: str, *, status: int | None = None, driver: bool = True) -> Diagnosis:
    """From the message and output of a test that ended by itself; ``status`` is the exit status of the process.

    ``driver``: there is one. CUDA's runtime calls one that is not there insufficient too.
    """
    for rule in _RULES:
        if match := rule.pattern.search(text):
            if rule.id == "driver-too-old" and not driver:
                return Diagnosis("no-driver", "There is no NVIDIA driver here.", _GPU)
            return Diagnosis(rule.id, rule.what.format(*match.groups()), rule.remedy)
    if status is not None and status < 0:
        what = f"The process died of signal {-status} {_WHEN.get(phase, '')}".rstrip() + "."
        if status == -signal.SIGKILL:
            return Diagnosis(
                "crashed", what, "It was killed, often for memory: read the kernel's log, or give it more."
            )
        fatal = "Fatal Python error" in text
        told = "The output holds the Python stack at that moment." if fatal else "It left no Python stack."
        return Diagnosis("crashed", what, told)
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[raised(lines)].strip() if lines else "no output"
    return Diagnosis(f"{phase}-failed", f"It failed {_WHEN.get(phase, 'in ' + phase)}: {last}", "Read the traceback.")


def raised(lines: Sequence[str]) -> int:
    """Which line of a traceback names the exception: behind the last frame, whatever the message goes on to say.

    The last one where there is no frame.
    """
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    behind = range(frames[-1] + 1 if frames else len(lines), len(lines))
    return next((number for number in behind if not lines[number][0].isspace()), len(lines) - 1)


def diagnose_hang(phase: str, stack: str, mapped: tuple[str, ...], *, seconds: float) -> Diagnosis:
    """From the Python stacks and mapped libraries of a test that made no progress for ``seconds``."""
    when = _WHEN.get(phase, f"in {phase}")
    libraries = [name for name in mapped if _MPI_LIBRARY.search(name)]
    if libraries or _MPI.search(stack):
        where = "import" if phase == "import" else "first-use"
        told = f" ({', '.join(libraries)} is loaded)" if libraries else ""
        return Diagnosis(
            f"mpi-hang-{where}",
            f"It hangs {when}, in the initialisation of MPI{told}: no CPU and no I/O for {seconds:g} s.",
            _REBUILD + " In a container without a process manager MPI waits for ever.",
        )
    return Diagnosis(
        f"hang-{phase}",
        f"It hangs {when}: no CPU and no I/O for {seconds:g} s.",
        "The Python stack in the evidence shows what it waits for.",
    )


def diagnose_deadline(phase: str, *, seconds: float) -> Diagnosis:
    """Still busy when the ceiling was reached."""
    return Diagnosis(
        "deadline",
        f"It was still working {_WHEN.get(phase, 'in ' + phase)} after {seconds:g} s.",
        "Raise verify.import_deadline in the profile if this machine is slow; read the stack for what it does.",
    )


def diagnose_parent_killed(phase: str, number: int) -> Diagnosis:
    """The process that started it was ended by signal ``number`` while it ran."""
    return Diagnosis(
        "killed-parent",
        f"The wheel killed its parent process {_WHEN.get(phase, 'in ' + phase)}: signal {number}.",
        "Look for os.kill, os.killpg and os.getppid in the wheel's code: it would end whatever program imports it.",
    )


def diagnose_flood(phase: str, *, limit: int) -> Diagnosis:
    """It wrote more than ``limit`` bytes and was ended."""
    return Diagnosis(
        "output-flood",
        f"It floods its output {_WHEN.get(phase, 'in ' + phase)}: more than {format_size(limit)}.",
        "The end of the output shows what it repeats: stop that, or log less.",
    )
