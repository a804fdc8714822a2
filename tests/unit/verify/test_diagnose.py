from __future__ import annotations

import pytest

from trtllm_builder.verify.diagnose import diagnose_deadline, diagnose_failure, diagnose_hang

SAID = [
    ("ImportError: libmpi.so.40: cannot open shared object file: No such file", "libmpi-missing", "libmpi.so.40"),
    ("ImportError: libmpi_cxx.so.40: cannot open shared object file", "libmpi-missing", "libmpi_cxx.so.40"),
    ("ModuleNotFoundError: No module named 'mpi4py'", "mpi4py-missing", "mpi4py"),
    ("pynvml.NVMLError_LibraryNotFound: NVML Shared Library Not Found", "no-driver", "libnvidia-ml.so.1"),
    ("ImportError: libcuda.so.1: cannot open shared object file: No such file", "no-driver", "libcuda.so.1"),
    ("ImportError: libcublasLt.so.13: cannot open shared object file: No such file", "cuda-major", "libcublasLt.so.13"),
    ("ImportError: libcudart.so.12: cannot open shared object file: No such file", "cuda-major", "libcudart.so.12"),
    ("ImportError: libnvinfer.so.10: cannot open shared object file", "tensorrt-missing", "libnvinfer.so.10"),
    ("ImportError: libnuma.so.1: cannot open shared object file", "library-missing", "libnuma.so.1"),
    ("ImportError: x.so: undefined symbol: _ZN3c105ErrorC2Ev", "torch-abi", "_ZN3c105ErrorC2Ev"),
    ("ImportError: x.so: undefined symbol: MPI_Init_thread", "undefined-symbol", "MPI_Init_thread"),
    ("/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.so)", "glibc-too-old", "GLIBC_2.38"),
    ("libstdc++.so.6: version `GLIBCXX_3.4.32' not found", "libstdcxx-too-old", "GLIBCXX_3.4.32"),
    ("ERROR: a-1-cp39-cp39-linux_x86_64.whl is not a supported wheel on this platform.", "wrong-python", "Python"),
    ("has no wheels with a matching Python version tag (e.g., `cp312`)", "wrong-python", "Python"),
    ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "no-kernel-image", "GPU"),
    ("CUDA driver version is insufficient for CUDA runtime version", "driver-too-old", "driver"),
    ("ERROR: No matching distribution found for tensorrt~=10.13", "dependency-missing", "tensorrt~=10.13"),
    ("BrokenProcessPool: A process in the process pool was terminated abruptly", "worker-died", "worker"),
    ("ModuleNotFoundError: No module named 'torch'", "module-missing", "torch"),
    ("ImportError: x.so: undefined symbol: cublasLtMatmulPreferenceCreate", "undefined-symbol", "cublasLtMatmul"),
    ("ImportError: libcudnn.so.9: cannot open shared object file", "library-missing", "libcudnn.so.9"),
    ("[vm:00784] Local abort before MPI_INIT completed completed successfully", "mpi-init-failed", "MPI"),
    ("RuntimeError: Found no NVIDIA driver on your system.", "no-driver", "driver"),
    ("error: cudaErrorStubLibrary: CUDA driver is a stub library", "no-driver", "driver"),
    ("RuntimeError: no CUDA-capable device is detected", "no-device", "no GPU"),
    ("error: the provided PTX was compiled with an unsupported toolchain.", "ptx-too-new", "PTX"),
    ("error: cudaErrorNoKernelImageForDevice: no kernel image is available", "no-kernel-image", "GPU"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "id", "named"), SAID)
def test_what_people_reported(text: str, id: str, named: str) -> None:
    found = diagnose_failure("import", f"Traceback (most recent call last):\n{text}\n")
    assert found.id == id
    assert named in found.what
    assert found.remedy


def test_a_driver_that_is_not_there_is_not_too_old() -> None:
    text = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
    assert diagnose_failure("launch", text).id == "driver-too-old"
    found = diagnose_failure("import", text, driver=False)
    assert found.id == "no-driver" and "--gpus all" in found.remedy


def test_unknown_failures_show_their_last_line() -> None:
    found = diagnose_failure("answer", "one\nValueError: odd shape\n\n")
    assert (found.id, found.what) == ("answer-failed", "It failed at first use: ValueError: odd shape")
    assert diagnose_failure("import", "", status=-11).what == "The process died of signal 11 when it is imported."


@pytest.mark.parametrize(
    ("phase", "stack", "mapped", "id"),
    [
        ("import", 'File "tensorrt_llm/_utils.py", line 5 in mpi_comm', (), "mpi-hang-import"),
        ("import", "", ("libmpi.so.40", "libtensorrt_llm.so"), "mpi-hang-import"),
        ("answer", "", ("libpmix.so.2",), "mpi-hang-first-use"),
        ("answer", 'File "mpi4py/futures/_core.py"', (), "mpi-hang-first-use"),
        ("import", 'File "empire.py", line 1 in simple', ("libnccl.so.2",), "hang-import"),
        ("exit", "", (), "hang-exit"),
    ],
)
def test_hangs(phase: str, stack: str, mapped: tuple[str, ...], id: str) -> None:
    found = diagnose_hang(phase, stack, mapped, seconds=20)
    assert found.id == id
    assert "20 s" in found.what


def test_the_deadline_names_its_setting() -> None:
    assert "verify.import_deadline" in diagnose_deadline("import", seconds=120).remedy
