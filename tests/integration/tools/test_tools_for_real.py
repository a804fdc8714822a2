"""Our tools, really installed from the locks, with the machine's own nvcc, cmake, ninja and ccache hidden."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.install import install, installed
from trtllm_builder.tools.toolkit import assemble_toolkit, choose_toolkit
from trtllm_builder.tools.tree import missing_parts

pytestmark = pytest.mark.integration

# What stays of the machine: a compiler with its linker, and what shell scripts of builds use.
_KEPT = (
    *("gcc", "g++", "cc", "c++", "as", "ld", "ar", "ranlib", "nm", "strip", "objcopy", "make"),
    *("sh", "env", "rm", "mv", "cp", "ln", "mkdir", "cat", "sed", "grep", "uname"),
)
_CUDA = """
#include <cuda_runtime.h>
#include <cuda_fp16.h>
__global__ void twice(__half *x) { x[threadIdx.x] = __hadd(x[threadIdx.x], x[threadIdx.x]); }
extern "C" int run(__half *x) { twice<<<1, 32>>>(x); return cudaGetLastError(); }
"""
_CMAKE = """
cmake_minimum_required(VERSION 3.27)
project(sample LANGUAGES CXX CUDA)
find_package(CUDAToolkit 13.0 REQUIRED)
add_library(sample SHARED one.cu two.cpp)
target_link_libraries(sample PRIVATE CUDA::cudart)
"""


def silent(_line: str) -> None:
    pass


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The machine's environment (where packages come from), a PATH without tools that we bring, a home of its own."""
    directory = tmp_path_factory.mktemp("path")
    for name in _KEPT:
        found = shutil.which(name)
        if found:
            (directory / name).symlink_to(found)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "CMAKE"))}
    # pip's cache of the developer, so that wheels are fetched once a machine.
    cache = os.environ.get("PIP_CACHE_DIR") or str(Path("~/.cache/pip").expanduser())
    return {**kept, "PATH": str(directory), "PIP_CACHE_DIR": cache, "HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def tools(environ: Mapping[str, str], data: Path) -> dict[str, Path]:
    return install(TOOLS, data, environ, silent)


def test_what_the_machine_lacks_is_promised_and_then_installed(
    environ: Mapping[str, str], data: Path, tools: Mapping[str, Path]
) -> None:
    for name in set(TOOLS) - {"cuda13"}:
        choice = choose(ToolWant(name), environ, data_dir=data)
        assert (choice.origin, choice.path, choice.version) == ("ours", tools[name], TOOLS[name].version)
    assert all(path.read_bytes()[:4] == b"\x7fELF" for path in tools.values())
    assert missing_parts(tools["cuda13"].parent.parent) == ()


def test_the_second_call_runs_nothing_and_takes_no_time(data: Path, tools: Mapping[str, Path]) -> None:
    start = time.perf_counter()
    again = install(TOOLS, data, {"PATH": "/nowhere", "PIP_NO_INDEX": "1"}, silent)
    assert time.perf_counter() - start < 0.05
    assert again == tools


def test_cmake_ninja_ccache_and_nvcc_of_ours_build_for_sm_89(
    environ: Mapping[str, str], data: Path, tools: Mapping[str, Path], tmp_path: Path
) -> None:
    toolkit = assemble_toolkit(data, environ, silent)
    source, cache = tmp_path / "source", {"CCACHE_DIR": str(tmp_path / "ccache")}
    source.mkdir()
    (source / "CMakeLists.txt").write_text(_CMAKE)
    (source / "one.cu").write_text(_CUDA)
    (source / "two.cpp").write_text('extern "C" int two() { return 2; }\n')

    def build(directory: Path) -> Path:
        command = [
            *(tools["cmake"], "-S", source, "-B", directory, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tools['ninja']}"),
            *(f"-DCMAKE_CUDA_COMPILER={toolkit.nvcc}", "-DCMAKE_CUDA_ARCHITECTURES=89-real"),
            *(f"-DCMAKE_{language}_COMPILER_LAUNCHER={tools['ccache']}" for language in ("CXX", "CUDA")),
        ]
        for argv in (command, [tools["cmake"], "--build", directory]):
            done = subprocess.run(argv, env={**environ, **cache}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        return directory / "libsample.so"

    def hits() -> int:
        argv = [tools["ccache"], "--print-stats"]
        done = subprocess.run(argv, env={**environ, **cache}, capture_output=True, text=True, check=True)
        counters = dict(line.split("\t") for line in done.stdout.splitlines())
        return int(counters["direct_cache_hit"]) + int(counters["preprocessed_cache_hit"])

    library = build(tmp_path / "first")
    assert hits() == 0
    listing = subprocess.run([tools["cuobjdump"], "--list-elf", library], capture_output=True, text=True, check=True)
    assert "sm_89.cubin" in listing.stdout
    # One object of the two files each; CMake's own compiler checks go past the launcher.
    shutil.rmtree(tmp_path / "first")
    build(tmp_path / "first")
    assert hits() == 2
    cmake_cache = (tmp_path / "first/CMakeCache.txt").read_text()
    assert re.search(rf"^CUDA_CUDART:FILEPATH={re.escape(str(toolkit.root))}/", cmake_cache, re.MULTILINE)
    assert "/usr/local/cuda" not in cmake_cache


def test_the_plan_then_names_our_toolkit(
    environ: Mapping[str, str], data: Path, tools: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtllm_builder.tools.toolkit._USUAL", Path("/nowhere"))
    choice = choose_toolkit("auto", ">=13,<13.1", environ, wheels=True, data_dir=data)
    assert choice.toolkit is not None
    assert (choice.origin, choice.toolkit.nvcc, choice.size) == ("ours", tools["cuda13"], 0)


def test_without_an_index_pip_s_own_word_is_passed_on(environ: Mapping[str, str], tmp_path: Path) -> None:
    offline = {**environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    with pytest.raises(HostError) as caught:
        install(["ninja"], tmp_path / "data", offline, silent)
    assert "pip says: ERROR: " in caught.value.what
    assert "PIP_INDEX_URL" in caught.value.remedy
    assert installed("ninja", tmp_path / "data") is None


def test_a_file_that_is_not_the_locked_one_is_not_installed(environ: Mapping[str, str], tmp_path: Path) -> None:
    version = TOOLS["ninja"].version
    with zipfile.ZipFile(tmp_path / f"ninja-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"ninja-{version}.data/scripts/ninja", "#!/bin/sh\necho owned\n")
        wheel.writestr(
            f"ninja-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: ninja\nVersion: {version}\n"
        )
    served = {**environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    with pytest.raises(HostError, match="is not the locked one; nothing was installed"):
        install(["ninja"], tmp_path / "data", served, silent)
    assert installed("ninja", tmp_path / "data") is None


def test_a_user_s_pip_settings_do_not_lead_us_astray(environ: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nuser = true\nrequire-virtualenv = true\n")
    astray = {**environ, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TARGET": "/nowhere", "PIP_DRY_RUN": "1"}
    path = install(["ninja"], tmp_path / "data", astray, silent)["ninja"]
    assert path.is_relative_to(tmp_path / "data")


def test_an_interpreter_without_pip_gets_a_venv_with_one(environ: Mapping[str, str], tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (library,) = (tmp_path / "bare/lib").glob("python3*/site-packages")
    # What we need, as `uv tool install` leaves it: all but pip.
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name != "pip":
            (library / path.name).symlink_to(path)
    code = (
        "import os, sys; from pathlib import Path; from trtllm_builder.tools.install import install\n"
        "install(['ninja'], Path(sys.argv[1]), os.environ, print)"
    )
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-c", code, tmp_path / "data"],
        env=dict(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed("ninja", tmp_path / "data") is not None
    assert list((tmp_path / "data/tools").glob("pip-*/bin/python"))


def test_killed_while_pip_runs_nothing_is_trusted_and_the_next_run_finishes(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from trtllm_builder.tools.install import install\n"
        "install(['cmake'], Path(sys.argv[1]), os.environ, print)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], env={**environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("tools/.staging-cmake-*/tmp/*")):
        assert child.poll() is None
        assert time.monotonic() < deadline
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert installed("cmake", tmp_path) is None
    path = install(["cmake"], tmp_path, environ, silent)["cmake"]
    assert subprocess.run([path, "--version"], env=dict(environ), check=False, capture_output=True).returncode == 0
