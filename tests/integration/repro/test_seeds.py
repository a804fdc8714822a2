"""GPU code in two directories, relocatable and not: names that only one file sees, ``__FILE__``, device links."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.plan.cmake_file import CMAKE_FILE, VARIABLE, render
from trtllm_builder.repro.seeds import SEEDS

pytestmark = pytest.mark.integration
LISTS = """\
cmake_minimum_required(VERSION 3.27)
project(seeds LANGUAGES CXX)
enable_language(CUDA)
add_subdirectory(sub)
"""
# A library that links device code of another one, and one without such links.
SUB = """\
add_library(plain SHARED plain.cpp alone.cu)
add_library(part STATIC first.cu)
add_library(whole SHARED second.cu)
set_target_properties(part whole PROPERTIES CUDA_SEPARABLE_COMPILATION ON POSITION_INDEPENDENT_CODE ON)
target_link_libraries(whole PRIVATE part)
target_link_options(plain PRIVATE -Wl,--build-id=sha1)
"""
KERNEL = """\
#include <cstdio>
namespace {
__device__ int state;
struct Add { int by; __device__ int operator()() const { return by + state; } };
template <class T> __global__ void run(int* p, T t) { *p = t(); printf("%s", __FILE__); }
}
static __constant__ float table[2] = {1, 2};
static __global__ void look(float* f) { *f = table[1]; }
void launch_NAME(int* p) { run<<<1, 1>>>(p, Add{3}); look<<<1, 1>>>((float*)p); }
char const* file_NAME() { return __FILE__; }
"""
HOST = "namespace { struct X { int x; }; }\nchar const* name() { return __FILE__; }\nint f(int v) { return X{v}.x; }\n"


def built(root: Path, toolchain: Any, jobs: int) -> dict[str, str]:
    sub = root / "source" / "sub"
    sub.mkdir(parents=True)
    (root / "source" / "CMakeLists.txt").write_text(LISTS)
    (sub / "CMakeLists.txt").write_text(SUB)
    (sub / "plain.cpp").write_text(HOST)
    for name in ("alone", "first", "second"):
        (sub / f"{name}.cu").write_text(KERNEL.replace("NAME", name))
    (root / CMAKE_FILE).write_text(render([SEEDS]))
    environ = {**toolchain.environment(root), "NVCC_APPEND_FLAGS": "--objdir-as-tempdir"}
    where = ["-S", root / "source", "-B", root / "build", f"-D{VARIABLE}={root / CMAKE_FILE}"]
    options = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CUDA_ARCHITECTURES=89-real"]
    for argv in (["cmake", *where, *options], ["cmake", "--build", root / "build", "--parallel", str(jobs)]):
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    files = [
        path for path in root.glob("build/**/*") if path.suffix in (".o", ".a", ".so") and "CompilerId" not in str(path)
    ]
    for path in files:
        assert str(root).encode() not in path.read_bytes(), f"{path.name} names the directory it was made in"
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def test_relocatable_code_and_device_links_are_the_same_anywhere(tmp_path: Path, toolchain: Any) -> None:
    first = built(tmp_path / "a", toolchain, 1)
    second = built(tmp_path / "a_much_longer" / "place", toolchain, 2)
    assert first == second
    assert sum("cmake_device_link.o" in name for name in first) == 1 and len(first) >= 8
