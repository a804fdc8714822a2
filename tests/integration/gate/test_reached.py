"""How compilers get to the gate: CMake's launchers with and without settings of upstream's own, the link pool, and
ccache, which asks nobody for what it has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.build.judge import BuildJudge
from trtllm_builder.build.timeline_gate import read_gate
from trtllm_builder.data import data_dir
from trtllm_builder.gate import cmake
from trtllm_builder.gate.broker import Broker
from trtllm_builder.gate.budget import BudgetReader
from trtllm_builder.gate.launcher import CLIENT, install_client, set_slots
from trtllm_builder.gate.learned import Learned
from trtllm_builder.gate.policy import Policy
from trtllm_builder.plan.cmake_file import VARIABLE, render
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.install import install

pytestmark = pytest.mark.integration
PROJECT = """\
cmake_minimum_required(VERSION 3.24)
{before}
project(small LANGUAGES C CXX)
{after}
add_library(one SHARED one.cpp two.c)
add_library(other SHARED one.cpp)
"""


class Place:
    def __init__(self, root: Path, path: str) -> None:
        self.root, self.gate, self.path = root, root / "gate", path
        install_client(self.gate, {"PATH": path})
        set_slots(self.gate, 1)
        (root / "one.cpp").write_text("int one() { return 1; }\n")
        (root / "two.c").write_text("int two(void) { return 2; }\n")

    def run(self, *words: str | Path, **environ: str) -> str:
        done = subprocess.run(
            [str(word) for word in words], cwd=self.root, env={"PATH": self.path, "HOME": str(self.root), **environ},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def configure(self, name: str, generator: str, *, before: str = "", after: str = "", gate: bool = True) -> Path:
        (self.root / "CMakeLists.txt").write_text(PROJECT.format(before=before, after=after))
        (self.root / "ours.cmake").write_text(render([cmake.section(self.gate / CLIENT, 1)]))
        build = self.root / name
        include = [f"-D{VARIABLE}={self.root}/ours.cmake"] if gate else []
        self.run("cmake", "-S", self.root, "-B", build, "-G", generator, *include)
        return build

    def asked(self) -> list[tuple[str, str]]:
        """What came to the gate since the last time: the kind of work and its subject."""
        found = [(job.kind, Path(job.source).name) for job in read_gate(self.root, lambda moment: moment).jobs]
        (self.root / "gate.jsonl").unlink(missing_ok=True)
        return sorted(found)

    def broker(self) -> Broker:
        judge = BuildJudge(self.root, self.path, Learned())
        return Broker(self.gate, self.root, policy=Policy(slots=2), judge=judge, read_budget=BudgetReader(0))


@pytest.fixture
def place(tmp_path: Path, toolchain: Any) -> Place:
    return Place(tmp_path, os.pathsep.join([*map(str, toolchain.path), "/usr/bin", "/bin"]))


ALL = [("c", "two.c"), ("c++", "one.cpp"), ("c++", "one.cpp"), ("link", "libone.so"), ("link", "libother.so")]


@pytest.mark.parametrize("generator", ["Ninja", "Unix Makefiles"])
def test_every_compile_and_link_comes_to_the_gate_and_gives_the_same_bytes(place: Place, generator: str) -> None:
    plain = place.configure("plain", generator, gate=False)
    place.run("cmake", "--build", plain, "--parallel", "2")
    build = place.configure("gated", generator)
    with place.broker():
        place.run("cmake", "--build", build, "--parallel", "2")
    assert place.asked() == ALL
    for library in ("libone.so", "libother.so"):
        assert (build / library).read_bytes() == (plain / library).read_bytes()
    if generator == "Ninja":
        rules = (build / "CMakeFiles/rules.ninja").read_text() + (build / "build.ninja").read_text()
        assert "pool trtllm_builder_link\n  depth = 1" in rules and "pool = trtllm_builder_link" in rules


def test_what_upstream_sets_stays_and_its_pools_too(place: Place) -> None:
    log = place.root / "log"
    wrapper = place.root / "upstreams"
    wrapper.write_text(f'#!/bin/sh\necho x >> {log}\nexec "$@"\n')
    wrapper.chmod(0o755)
    build = place.configure(
        "own", "Ninja",
        before=f"set(CMAKE_CXX_COMPILER_LAUNCHER {wrapper})",
        after="set_property(GLOBAL PROPERTY JOB_POOLS heavy=1)\nset(CMAKE_JOB_POOL_COMPILE heavy)",
    )  # fmt: skip
    with place.broker():
        place.run("cmake", "--build", build)
    assert [kind for kind, _ in place.asked()] == ["c", "link", "link"] and log.read_text().count("x") >= 2
    rules = (build / "CMakeFiles/rules.ninja").read_text() + (build / "build.ninja").read_text()
    assert "pool heavy" in rules and "pool = heavy" in rules and "pool trtllm_builder_link" in rules


def test_cache_hits_ask_nobody_and_a_gate_is_no_part_of_the_key(place: Place) -> None:
    environ = dict(os.environ)
    ccache = (
        choose(ToolWant("ccache"), environ).path or install(["ccache"], data_dir(environ), environ, print)["ccache"]
    )
    cache = {"CCACHE_DIR": str(place.root / "cache"), "CCACHE_COMPILERCHECK": "content"}
    gated = {**cache, "CCACHE_PREFIX": str(place.gate / CLIENT)}
    commands = [(ccache, "g++", "-c", place.root / "one.cpp", "-o", "one.o")]
    nvcc = shutil.which("nvcc", path=place.path) or environ.get("CUDACXX")
    if nvcc:
        (place.root / "three.cu").write_text("__global__ void three() {}\n")
        commands.append((ccache, nvcc, "-arch=sm_80", "-c", place.root / "three.cu", "-o", "three.o"))
    with place.broker():
        for command in commands:
            place.run(*command, **cache)
        assert place.asked() == []
        for command in commands:
            place.run(*command, **gated)
    assert place.asked() == [], "compiled without the gate, found with it"
    stats = place.run(ccache, "--print-stats", **cache)
    assert f"direct_cache_hit\t{len(commands)}" in stats and f"cache_miss\t{len(commands)}" in stats
    (place.root / "one.cpp").write_text("int one() { return 11; }\n")
    with place.broker():
        place.run(*commands[0], **gated)
    assert place.asked() == [("c++", "one.cpp")]
    place.run(*commands[0], **cache)
    assert f"direct_cache_hit\t{len(commands) + 1}" in place.run(ccache, "--print-stats", **cache), "and the other way"
