"""Our reader and NVIDIA's cuobjdump on what a real nvcc makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.binary import members, unpack
from trtllm_builder.binary.fatbin import read_fatbin
from trtllm_builder.binary.kernels import kernel_names
from trtllm_builder.data import data_dir
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.install import install
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.expect import Expectation, required_groups

pytestmark = pytest.mark.integration
KERNEL = "__global__ void scale(float *x, float a) { x[threadIdx.x] *= a; }\n"
LAUNCH = 'extern "C" void launch(float *x) { scale<<<1, 32>>>(x, 2.f); }\n'
TARGETS = ("80", "86", "89", "90", "90a", "100a", "100f", "103", "120", "120a", "121f")
LIB = "tensorrt_llm/libs/libtensorrt_llm.so"


@pytest.fixture(scope="session")
def cuobjdump(toolchain: Any) -> Path:
    environ = dict(os.environ)
    chosen = choose(ToolWant("cuobjdump"), environ, beside=[toolchain.toolkit.root / "bin"])
    return chosen.path or install(["cuobjdump"], data_dir(environ), environ, print)["cuobjdump"]


Compile = Callable[..., Path]


@pytest.fixture
def nvcc(toolchain: Any, tmp_path: Path) -> Compile:
    def compile(output: str, targets: tuple[str, ...], *options: str, source: str = KERNEL + LAUNCH) -> Path:
        (tmp_path / "code.cu").write_text(source)
        codes = [f"-gencode=arch=compute_{t.split('_')[-1]},code={t if '_' in t else 'sm_' + t}" for t in targets]
        subprocess.run(
            [toolchain.toolkit.nvcc, "-Xcompiler", "-fPIC", *codes, *options, "-o", output, "code.cu"],
            cwd=tmp_path,
            env=toolchain.environment(tmp_path),
            check=True,
        )
        return tmp_path / output

    return compile


@pytest.mark.parametrize("mode", ["none", "speed", "size"])
def test_every_target_in_every_compression(nvcc: Compile, mode: str) -> None:
    options = ("-Xfatbin", "-compress-all", "-Xfatbin", f"-compress-mode={mode}")
    file = nvcc("all.fatbin", (*TARGETS, "compute_89", "compute_90a", "compute_120f"), "--fatbin", *options)
    entries = list(read_fatbin(file.read_bytes()))
    assert {entry.target for entry in entries if entry.kind == "cubin"} == {f"sm_{target}" for target in TARGETS}
    assert {entry.target for entry in entries if entry.kind == "ptx"} == {"compute_89", "compute_90a", "compute_120f"}
    cubins = {entry.compression for entry in entries if entry.kind == "cubin"}
    assert cubins == {{"none": "none", "speed": "lz4", "size": "zstd"}[mode]}
    assert {kernel_names(file.read_bytes(), entry) for entry in entries} == {("_Z5scalePff",)}


def test_a_linked_library_agrees_with_cuobjdump(
    nvcc: Compile, cuobjdump: Path, make_wheel: Callable[..., Path]
) -> None:
    library = nvcc("lib.so", ("80", "89", "90a", "100f", "compute_120"), "--shared")
    expectation = Expectation(
        required=required_groups(["89", "90a", "100f"]),
        allowed=frozenset({"sm_80", "sm_89", "sm_90a", "sm_100f"}),
        libraries=("libtensorrt_llm.so",),
        single_device=True,
    )
    found = audit(make_wheel({LIB: library.read_bytes()}), expectation, cuobjdump=cuobjdump)
    status = {check.id: check.status for check in found.checks}
    assert {status[id] for id in ("gpu-targets", "gpu-targets-allowed", "cuobjdump", "elf", "forbidden-symbols")} == {
        "passed"
    }
    assert found.libraries[0].ptx == {"compute_120"}


def test_a_library_that_streams_by_reads_like_one_in_memory(
    nvcc: Compile, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = nvcc("lib.so", ("80", "90a", "100f", "compute_120"), "--shared", "-rdc=true")
    wheel = make_wheel({LIB: library.read_bytes()})
    kept = audit(wheel, Expectation(), cross_check=False).libraries
    monkeypatch.setattr(members, "_IN_MEMORY", 0)
    monkeypatch.setattr(unpack, "_APART", 4096)
    assert audit(wheel, Expectation(), cross_check=False).libraries == kept
    assert kept[0].targets and kept[0].cuda == (13, 0)


def test_separate_compilation_leaves_code_that_no_launch_can_use(
    nvcc: Compile, cuobjdump: Path, make_wheel: Callable[..., Path]
) -> None:
    library = nvcc("lib.so", ("89",), "--shared", "-rdc=true")
    found = audit(
        make_wheel({LIB: library.read_bytes()}), Expectation(required=required_groups(["89"])), cuobjdump=cuobjdump
    )
    assert {target.linked for target in found.libraries[0].targets} == {True, False}
    assert {check.status for check in found.checks if check.id in ("gpu-targets", "cuobjdump")} == {"passed"}
