"""Logs without a failure: empty, binary, cut off in the middle; and a build that is single-device already."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from trtllm_builder.build.diagnosis.engine import diagnose_stream
from trtllm_builder.build.diagnosis.model import Diagnosis

STEPS = b"-- Build files have been written to: /b\n[1/9] Building CXX object a.o\n[2/9] Building CUDA object b.o\n"


def judge(log: bytes) -> Diagnosis:
    return diagnose_stream(io.BufferedReader(io.BytesIO(log)))  # type: ignore[arg-type]


@pytest.mark.parametrize("log", [b"", b"\n \n", b"\0" * 9000])
def test_empty(log: bytes) -> None:
    assert judge(log).first.sentence == "The log is empty."


def test_binary_noise_is_not_shown() -> None:
    for noise in (Path(sys.executable).read_bytes()[:200_000], bytes(range(256)) * 40 + b"\nfatal error: Killed\n"):
        found = judge(noise)
        assert found.first.sentence.startswith("This is not a text log") and found.first.lines == ()
    # A hole at its start, colours, and Chinese that is not UTF-8, are in logs.
    coloured = b"\x1b[1m\x1b[K" * 50 + "编译失败".encode("gbk") * 50 + b"\nKilled\n"
    assert judge(b"\0" * 5000 + b"\n" + coloured).first.id == "killed"


@pytest.mark.parametrize(
    ("end", "at"),
    [
        (b"", "at step 2/9."),
        (b"b.cu(3): warning #177-D: x was declared\n[3/9] Building CU", "at step 3/9."),
        (b"client_loop: send disconnect: Broken pipe\n", "at step 2/9, when the connection"),
        (b"[ 43%] Building CUDA object c.o\n", "at 43 %."),
    ],
)
def test_a_log_that_ends_in_the_middle(end: bytes, at: str) -> None:
    found = judge(STEPS + end)
    assert found.first.id == "unfinished" and at in found.first.sentence
    # A download that was got over does not lead there either.
    assert judge(b"fatal: early EOF\n" + STEPS + end).first.id == "unfinished"


@pytest.mark.parametrize(
    "end",
    [
        b"[9/9] Linking\n",
        b"Successfully built a.whl\n",
        b"Killed\n",
        b"ninja: build stopped: subcommand failed.\n",
        b"error: it\n",
    ],
)
def test_a_log_that_ends_otherwise(end: bytes) -> None:
    assert judge(STEPS + end).first.id in ("none", "killed", "unknown")


def test_a_single_device_build_is_not_told_to_become_one() -> None:
    missing = b"/src/cpp/kernels/userbuffers/ub.cpp:1:10: fatal error: nccl.h: No such file or directory\n"
    assert "set build.cmake.ENABLE_MULTI_DEVICE to 0" in judge(missing).first.remedy
    for switch in (b"cmake -DENABLE_MULTI_DEVICE=0 -S .\n", b"c++ '-DENABLE_MULTI_DEVICE:BOOL=OFF' -c\n"):
        remedy = judge(switch + missing).first.remedy
        assert "set build.cmake.ENABLE_MULTI_DEVICE" not in remedy
        assert "ENABLE_MULTI_DEVICE is 0 in this build already, and userbuffers wants it all the same" in remedy
    assert "set build.cmake" in judge(b"cmake -DENABLE_MULTI_DEVICE=1\n" + missing).first.remedy
