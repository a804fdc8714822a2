"""Every failure that the smoke test has a name for, made to happen: by the real loader, CUDA's run time, MPI's wait."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trtllm_builder.verify.smoke import Smoke

pytestmark = pytest.mark.integration
Try = Callable[..., Smoke]
MakeLibrary = Callable[..., bytes]
LIBRARY = "tensorrt_llm/libs/libtensorrt_llm.so"
LOAD = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libs', 'libtensorrt_llm.so'))\n"
AT_FIRST_USE = "class LLM:\n    def __init__(self, model):\n        " + LOAD.replace("\n", "\n        ")
# MPI_Init_thread of an Open MPI that no process manager answers: asleep in a futex, for ever.
WAITS = """
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
__attribute__((constructor)) static void MPI_Init_thread(void) {
    pthread_mutex_lock(&lock);
    for (;;) pthread_cond_wait(&never, &lock);
}
"""
# A driver of CUDA 11.4, of which CUDA's run time asks the version first; this one has no more than that.
OLD_DRIVER = """
#include <string.h>
int cuDriverGetVersion(int* version) { *version = 11040; return 0; }
int cuInit(unsigned flags) { return 100; }
int cuDeviceGetCount(int* count) { *count = 0; return 0; }
int cuGetErrorName(int error, const char** text) { *text = "CUDA_ERROR_NO_DEVICE"; return 0; }
int cuGetErrorString(int error, const char** text) { *text = "no CUDA-capable device is detected"; return 0; }
"""
COUNT = """
#include <cuda_runtime_api.h>
extern "C" const char* count() { int n; return cudaGetErrorString(cudaGetDeviceCount(&n)); }
"""
ASK_CUDA = (
    "import ctypes, os\n"
    "cuda = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libs', 'libtensorrt_llm.so'))\n"
    "cuda.count.restype = ctypes.c_char_p\n"
    "text = cuda.count().decode()\n"
    "if text != 'no error': raise RuntimeError(text)\n"
    "class LLM: pass\n"
)


def has(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("needed", "diagnosis"),
    [
        ("libmpi.so.40", "libmpi-missing"),
        ("libcuda.so.1", "no-driver"),
        ("libnvidia-ml.so.1", "no-driver"),
        ("libcublasLt.so.13", "cuda-major"),
        ("libnvinfer.so.10", "tensorrt-missing"),
    ],
)
def test_a_library_is_missing(attempt: Try, make_library: MakeLibrary, needed: str, diagnosis: str) -> None:
    if has(needed):
        pytest.skip(f"{needed} is here")
    tried = attempt({"tensorrt_llm/llm.py": LOAD, LIBRARY: make_library(needs={needed: "int x;"})})
    assert (tried.outcome, tried.phase) == ("failed", "import")
    assert tried.diagnosis and tried.diagnosis.id == diagnosis
    assert needed in tried.diagnosis.what
    if diagnosis == "no-driver":
        assert "--gpus all" in tried.diagnosis.remedy


@pytest.mark.parametrize(
    ("symbol", "diagnosis"),
    [("_ZN3c105ErrorC2ENS_14SourceLocationE", "torch-abi"), ("cublasLtMatmulDescSetAttribute", "undefined-symbol")],
)
def test_a_symbol_is_missing(attempt: Try, make_library: MakeLibrary, symbol: str, diagnosis: str) -> None:
    source = f"extern void {symbol}(void); void use(void) {{ {symbol}(); }}"
    tried = attempt({"tensorrt_llm/llm.py": LOAD, LIBRARY: make_library(source=source)})
    assert tried.diagnosis and tried.diagnosis.id == diagnosis
    assert symbol in tried.diagnosis.what


@pytest.mark.parametrize(
    ("soname", "version", "diagnosis"),
    [("libc.so.6", "GLIBC_9.99", "glibc-too-old"), ("libstdc++.so.6", "GLIBCXX_9.9.99", "libstdcxx-too-old")],
)
def test_the_system_is_too_old(attempt: Try, tmp_path: Path, soname: str, version: str, diagnosis: str) -> None:
    """Linked against a library of that name that has a version which the system's own does not have."""
    place = tmp_path / "link"
    place.mkdir()
    (place / "newer.map").write_text(f"{version} {{ global: newer; }};\n")
    (place / "newer.c").write_text("int newer(void) { return 1; }\n")
    (place / "use.c").write_text("extern int newer(void); int use(void) { return newer(); }\n")
    options = ["-shared", "-fPIC", "-nostdlib"]
    for argv in (
        [*options, f"-Wl,-soname,{soname}", "-Wl,--version-script=newer.map", "-o", soname, "newer.c"],
        [*options, "-o", "out.so", "use.c", f"./{soname}"],
    ):
        subprocess.run(["gcc", *argv], cwd=place, check=True)
    tried = attempt({"tensorrt_llm/llm.py": LOAD, LIBRARY: (place / "out.so").read_bytes()})
    assert tried.diagnosis and tried.diagnosis.id == diagnosis, tried.stack
    assert version in tried.diagnosis.what


@pytest.mark.parametrize(("code", "phase"), [(LOAD, "import"), (AT_FIRST_USE, "answer")])
def test_mpi_waits_at_import_or_at_first_use(attempt: Try, make_library: MakeLibrary, code: str, phase: str) -> None:
    members = {
        "tensorrt_llm/llm.py": code,
        LIBRARY: make_library(needs={"libmpi.so.40": WAITS}, options=("-Wl,-rpath,$ORIGIN",)),
        "tensorrt_llm/libs/libmpi.so.40": make_library(source=WAITS, options=("-Wl,-soname,libmpi.so.40",)),
    }
    tried = attempt(members, stall=0.6)
    assert (tried.outcome, tried.phase) == ("hang", phase)
    assert tried.diagnosis and tried.diagnosis.id == f"mpi-hang-{'import' if phase == 'import' else 'first-use'}"
    assert "libmpi.so.40" in tried.diagnosis.what
    assert "llm.py" in tried.stack


@pytest.fixture(scope="session")
def asks_cuda(toolchain, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A library with CUDA's run time linked in, which looks for the driver when it is first used."""
    place = tmp_path_factory.mktemp("cudart")
    (place / "count.cu").write_text(COUNT)
    argv = [toolchain.toolkit.nvcc, "-shared", "-Xcompiler", "-fPIC", "-cudart", "static", "-arch", "sm_89"]
    subprocess.run([*argv, "-o", "out.so", "count.cu"], cwd=place, check=True, env=toolchain.environment(place))
    return (place / "out.so").read_bytes()


@pytest.mark.skipif(has("libcuda.so.1"), reason="this machine has a driver")
def test_no_driver_is_not_taken_for_an_old_one(attempt: Try, asks_cuda: bytes) -> None:
    """CUDA's run time says `driver version is insufficient` of a driver that is not there."""
    tried = attempt({"tensorrt_llm/llm.py": ASK_CUDA, LIBRARY: asks_cuda}, answer=None)
    assert tried.diagnosis and tried.diagnosis.id == "no-driver", tried.stack
    assert tried.gpu and tried.gpu.driver == "none"


@pytest.mark.skipif(has("libcuda.so.1"), reason="this machine has a driver")
def test_a_driver_that_is_too_old(attempt: Try, make_library: MakeLibrary, asks_cuda: bytes, tmp_path: Path) -> None:
    """Found where the caller's LD_LIBRARY_PATH has it, which the clean environment does not pass on."""
    place = tmp_path / "driver"
    place.mkdir()
    (place / "libcuda.so.1").write_bytes(make_library(source=OLD_DRIVER, options=("-Wl,-soname,libcuda.so.1",)))
    tried = attempt(
        {"tensorrt_llm/llm.py": ASK_CUDA, LIBRARY: asks_cuda}, answer=None, host={"LD_LIBRARY_PATH": str(place)}
    )
    assert tried.gpu and (tried.gpu.driver, tried.gpu.cuda) == ("real", "11.4")
    assert "no CUDA-capable device" in tried.gpu.why
    assert tried.diagnosis and tried.diagnosis.id == "driver-too-old", tried.stack


@pytest.mark.skipif(has("libcuda.so.1"), reason="this machine has a driver")
def test_a_toolkit_s_stubs_serve_and_the_report_says_so(
    attempt: Try, make_library: MakeLibrary, tmp_path: Path
) -> None:
    stubs = tmp_path / "cuda/lib64/stubs"
    stubs.mkdir(parents=True)
    (stubs / "libcuda.so").write_bytes(make_library(source="int x;", options=("-Wl,-soname,libcuda.so.1",)))
    members = {
        "tensorrt_llm/llm.py": LOAD + "class LLM: pass\n",
        LIBRARY: make_library(needs={"libcuda.so.1": "int x;"}),
    }
    tried = attempt(members, answer=None, host={"CUDA_HOME": str(tmp_path / "cuda")})
    assert tried.outcome == "ok", tried.stack
    assert tried.gpu and tried.gpu.driver == "stubs" and str(stubs) in tried.gpu.why
    assert tried.gpu.launched is None
