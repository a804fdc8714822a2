"""The root before its consequences, the first before the later, this attempt before an earlier one."""

from __future__ import annotations

import tracemalloc

from trtllm_builder.build.diagnosis.engine import diagnose
from trtllm_builder.build.diagnosis.model import Diagnosis
from trtllm_builder.build.diagnosis.packages import PARTS, find, look_up


def judge(text: str) -> Diagnosis:
    return diagnose(enumerate(text.strip("\n").splitlines(), 1))


KILLED = """
FAILED: cpp/CMakeFiles/k.dir/kernels/fmha.cu.o
nvcc -c kernels/fmha.cu
Killed
"""
TRACEBACK = """
ninja: build stopped: subcommand failed.
Traceback (most recent call last):
  File "scripts/build_wheel.py", line 700, in main
    build_run(command)
subprocess.CalledProcessError: Command 'cmake --build .' returned non-zero exit status 1.
"""


def test_the_root_is_named_with_its_file_and_not_what_passed_it_on() -> None:
    found = judge(KILLED + TRACEBACK)
    assert found.first.id == "killed" and found.first.step == "kernels/fmha.cu" and found.others == ()
    assert [line.number for line in found.first.lines] == [1, 3]


def test_a_cause_leads_over_errors_that_came_before_it() -> None:
    """Two compilers at once: one refuses a line, a moment later the disk is full; the rest is the disk's doing."""
    found = judge(
        "a.cpp:1:2: error: 'x' was not declared in this scope\n"
        "/usr/bin/ld: final link failed: No space left on device\n"
        "collect2: error: ld returned 1 exit status\n"
        "/usr/bin/ld: b.o: file not recognized: file truncated\n" + TRACEBACK
    )
    assert found.first.id == "disk-full" and found.first.host
    assert [other.id for other in found.others] == ["compile-error"]


def test_of_several_causes_the_first_leads_and_the_others_are_listed() -> None:
    found = judge(
        "a.cpp:1:10: fatal error: zmq.h: No such file or directory\n"
        "b.cpp:1:10: fatal error: numa.h: No such file or directory\n"
        "c.cpp:9:10: fatal error: zmq.h: No such file or directory\n"
        "/usr/bin/ld: cannot find -lnccl: No such file or directory\n" + TRACEBACK
    )
    assert "zmq.h" in found.first.sentence and "libzmq3-dev" in found.first.remedy
    assert [line.number for line in found.first.lines] == [1, 3]
    assert [other.sentence.split()[0] for other in found.others] == ["numa.h", "The"]


def test_an_earlier_attempt_that_ended_and_was_configured_again_does_not_lead() -> None:
    earlier = (
        "fatal: unable to access 'https://github.com/google/googletest.git/': timed out\n-- Configuring incomplete\n"
    )
    again = "-- Build files have been written to: /b\n"
    assert judge(earlier + again + KILLED + TRACEBACK).first.id == "killed"
    # Nothing new after that: the earlier one is still the best that is known.
    assert judge(earlier + again).first.id == "download-failed"
    # Configuring that goes on after a failed step of its own is no new attempt.
    sub = "-- Build files have been written to: /b/_deps/googletest-subbuild\n"
    assert judge(sub + earlier + KILLED).first.id == "download-failed"


def test_what_was_got_over_before_compiling_does_not_lead_over_what_stopped_the_build() -> None:
    download = (
        "fatal: unable to access 'https://github.com/google/googletest.git/': Could not resolve host: github.com\n"
    )
    retried = "Cloning from the mirror\nSubmodule path 'x': checked out 'abc'\n"
    refused = "b.cpp:3:1: error: unknown type name 'foo'\n"
    failed = "FAILED: cpp/CMakeFiles/k.dir/b.cpp.o\n"
    for log in (
        download + retried + refused + TRACEBACK,
        download + retried + failed + refused + TRACEBACK,
        download + "-- Build files have been written to: /b\n[1/9] Building\n" + failed + refused,
    ):
        found = judge(log)
        assert found.first.id == "compile-error" and [one.id for one in found.others] == ["download-failed"]
    assert judge(download + retried + KILLED + TRACEBACK).first.id == "killed"
    # One that ended the configuring was not got over, and what is missing for its lack is its consequence.
    assert judge(download + "-- Configuring incomplete\n" + refused).first.id == "download-failed"
    missing = "a.cpp:1:10: fatal error: cutlass/cutlass.h: No such file or directory\n"
    assert judge(download + failed + missing).first.id == "download-failed"
    # Nor was one that a step of the build itself made.
    step = "FAILED: [code=1] ucx-prefix/src/ucx-stamp/ucx-download\n"
    assert judge(step + download + failed + refused).first.id == "download-failed"
    assert judge("sh: 1: nvidia-smi: not found\n" + failed + refused).first.id == "compile-error"


def test_the_same_failure_of_a_later_attempt_is_counted_anew() -> None:
    text = KILLED + TRACEBACK + "-- Build files have been written to: /b\n" + KILLED
    found = judge(text)
    last = len(text.strip("\n").splitlines())
    assert found.first.lines[-1].number == last and len(found.first.lines) == 2


def test_what_names_a_failure_later_completes_it() -> None:
    found = judge(
        "fatal: unable to access 'https://github.com/google/googletest.git/': Could not resolve host: github.com\n"
        "gmake[2]: *** [CMakeFiles/googletest-populate.dir/build.make:102: x] Error 1\n"
        "CMake Error at FetchContent.cmake:1616 (message):\n  Build step for googletest failed: 2\n"
    )
    assert found.first.sentence.startswith("googletest could not be downloaded from github.com while configuring")
    assert "source.mirrors" in found.first.remedy


def test_a_make_that_failed_much_later_is_not_taken_for_the_step() -> None:
    text = "Killed\n" + "\n" * 100 + "make: *** [CMakeFiles/k.dir/other.cu.o] Error 1\n"
    assert judge(text).first.step == ""


def test_the_unknown_says_so_with_the_lines_nearest_to_an_error() -> None:
    found = judge(
        "[1/9] cc -Werror -c error.cpp -o error.cpp.o\n-- Performing Test HAVE_ERROR - Failed\n"
        "error: the widget is not aligned\n" + TRACEBACK
    )
    assert not found.known and found.first.id == "unknown"
    assert [line.text for line in found.first.lines] == ["error: the widget is not aligned"]


def test_long_lines_are_cut_around_what_matters() -> None:
    long = "g++ " + "-I/a/very/long/include/path " * 40
    found = judge(f"{long} fatal error: cannot execute: No space left on device {long}\n")
    (line,) = found.first.lines
    assert "No space left" in line.text and len(line.text) < 320
    assert line.text.startswith("... ") and line.text.endswith(" ...")


def test_thousands_of_errors_are_a_few_findings_of_a_few_lines() -> None:
    found = judge("".join(f"f{n}.cpp:1:1: fatal error: h{n}.h: No such file or directory\n" for n in range(500)))
    assert found.first.lines[0].number == 1 and len(found.others) == 5


def test_what_a_compiler_says_inside_a_message_of_cmake_is_found() -> None:
    found = judge(
        "CMake Error at CMakeTestCUDACompiler.cmake:103 (message):\n"
        '  The CUDA compiler\n\n    "/usr/local/cuda/bin/nvcc"\n\n'
        "  is not able to compile a simple test program.\n\n  It fails with the following output:\n\n"
        "    main.cu:1:10: fatal error: cuda_runtime.h: No such file or directory\n\n"
        "Call Stack (most recent call first):\n"
    )
    assert found.first.id == "header-missing" and found.first.lines[0].number == 10


def test_what_is_kept_does_not_grow_with_what_is_found() -> None:
    peaks = []
    for count in (100, 600):
        lines = ((n, f"f{n}.cpp:1:1: fatal error: h{n}.h: No such file or directory") for n in range(1, count))
        tracemalloc.start()
        diagnose(lines)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_known_packages() -> None:
    brought = {
        "Python.h": "python3-dev", "zmq.h": "libzmq3-dev", "NvInfer.h": "libnvinfer-dev", "nccl.h": "libnccl-dev",
        "mpi.h": "libopenmpi-dev", "numa.h": "libnuma-dev", "openssl/ssl.h": "libssl-dev", "cudnn.h": "libcudnn9",
        "libmpi.so.40": "openmpi", "-lnuma": "libnuma-dev", "libcublasLt.so.13": "libcublas-dev", "NCCL": "libnccl-dev",
        "infiniband/mlx5dv.h": "libibverbs-dev", "libnvrtc_static.a": "cuda-nvrtc-dev", "nvml.h": "cuda-nvml-dev",
        "/usr/lib/x86_64-linux-gnu/libnccl.so": "libnccl-dev", "cuda_runtime.h": "cuda-toolkit", "stdio.h": "",
    }  # fmt: skip
    for name, package in brought.items():
        assert package in look_up(name).get("advice", ""), name
    assert "stubs" in look_up("-lcuda")["advice"] and "--gpus all" in look_up("libcuda.so.1")["advice"]
    assert "stubs" in look_up("libnvidia-ml.so.1")["advice"]
    assert "ENABLE_MULTI_DEVICE" in look_up("mpi.h")["advice"] and "ENABLE_UCX" in look_up("ucp/api/ucp.h")["advice"]
    assert "submodule" in look_up("cutlass/cutlass.h")["advice"]
    assert find("my_own_header.h") is None and look_up("mytorchy.h") == {}
    assert len({part.what for part in PARTS}) == len(PARTS)
