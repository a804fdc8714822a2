"""Traps before the first compiler call: downloads, generators, definitions, the prompt. Unpatched, with real tools."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from trtllm_builder.canary import TREE
from trtllm_builder.process import end_group, run

pytestmark = pytest.mark.integration

NO_SUCH_GENERATOR = ("--generator", "None")


def test_defaults_fail_at_the_deep_ep_download(upstream):
    """Seed 004: python3 ./scripts/build_wheel.py in a network without github."""
    assert "deep_ep download failed" in upstream.fails()


def test_github_mirror_moves_only_the_deep_ep_download(upstream, tmp_path):
    text = upstream.fails("-a", "90", "-G", "Ninja", env={"GITHUB_MIRROR": tmp_path.as_uri()})
    assert re.search(r'deep_ep download failed: 37;"Couldn\'t read a file', text)


@pytest.mark.parametrize(
    ("generator", "message", "file"),
    [
        ((), "Makefile: No such file or directory", "Makefile"),
        (("-G", "Ninja"), "loading 'build.ninja'", "build.ninja"),
    ],
    ids=["default", "ninja"],
)
def test_a_half_configured_directory_counts_as_configured(upstream, generator, message, file):
    upstream.fails("-a", "90", *generator)
    assert (upstream.build_dir / "CMakeFiles").is_dir()
    assert not (upstream.build_dir / file).exists()

    again = upstream.fails("-a", "90", *generator)
    assert message in again
    assert "CMake Configure command" not in again

    if not generator:
        # Seed 004's words: what make itself says in that directory.
        make = run(["make"], env=upstream.environment, cwd=upstream.build_dir)
        assert "No targets specified and no makefile found." in make.stderr
        assert "deep_ep download failed" in upstream.fails("-a", "90", "--configure_cmake")


def test_a_module_turned_off_stays_in_the_target_list(upstream):
    """Seed 004's advice, through build_wheel.py: CMake takes the OFF, the script does not hear of it."""
    off = ("-D", "BUILD_DEEP_EP=OFF", "-D", "BUILD_DEEP_GEMM=OFF", "-D", "BUILD_TESTS=OFF")
    text = upstream.fails("-G", "Ninja", "-a", "90", *off)
    assert "'deep_ep', needed by" in text
    assert "BUILD_DEEP_EP:BOOL=OFF" in (upstream.build_dir / "CMakeCache.txt").read_text()


def test_older_gpus_skip_deep_ep_and_still_download_deep_gemm(upstream):
    text = upstream.fails("-G", "Ninja", "-a", "89")
    assert "deep_ep download failed" not in text
    assert "Build step for deepgemm failed" in text
    assert (upstream.build_dir / "tensorrt_llm/deep_ep/cuda_architectures.txt").read_text() == ""


def test_cpp_tests_are_on_and_fetch_googletest(upstream, online):
    definitions = [word for word in online if "BUILD_TESTS" not in word]
    assert "Build step for googletest failed" in upstream.fails("-G", "Ninja", "-a", "89", *definitions)


def _configure_line(text: str) -> list[str]:
    lines = text.splitlines()
    return shlex.split(lines[lines.index("CMake Configure command: ") + 1])


def test_the_order_of_definitions_depends_on_the_hash_seed(upstream):
    """The last definition of a key wins in CMake, so a key given twice is a matter of chance."""
    twice = ("-D", "ENABLE_MULTI_DEVICE=1", "-D", "ENABLE_MULTI_DEVICE=0")
    last = set()
    for seed in map(str, range(6)):
        line = _configure_line(upstream.fails(*NO_SUCH_GENERATOR, *twice, env={"PYTHONHASHSEED": seed}))
        last.add([word for word in line if "ENABLE_MULTI_DEVICE" in word][-1])
    assert last == {"-DENABLE_MULTI_DEVICE=0", "-DENABLE_MULTI_DEVICE=1"}


def test_a_list_in_a_definition_is_torn(upstream):
    line = _configure_line(upstream.fails(*NO_SUCH_GENERATOR, "-D", "BUILD_WHEEL_TARGETS=tensorrt_llm;bindings"))
    assert {"-DBUILD_WHEEL_TARGETS=tensorrt_llm", "-Dbindings"} <= set(line)


def test_a_generator_with_a_space_breaks_the_shell_line(upstream):
    assert "-GUnix Makefiles" in upstream.fails("-a", "90", "-G", "Unix Makefiles")
    assert not (upstream.build_dir / "Makefile").exists()


def test_the_prompt_waits_for_a_person(upstream):
    """NVIDIA_PYTORCH_VERSION is set in NGC images; the question comes when the environment has a torch of its own."""
    (site_packages,) = upstream.python.parent.parent.glob("lib/python3*/site-packages")
    torch = site_packages / "torch"
    torch.mkdir()
    environment = {**upstream.environment, "NVIDIA_PYTORCH_VERSION": "25.10"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(upstream.argv(), env=environment, start_new_session=True, **pipes)
    try:
        said = b""
        while b"any key to continue" not in said:
            piece = child.stdout.read1()
            assert piece, said
            said += piece
        time.sleep(0.5)
        assert child.poll() is None
    finally:
        end_group(child.pid, grace=0.2)
        child.communicate()
        torch.rmdir()


def test_the_generator_is_the_first_python3_and_its_failure_is_believed(upstream, tmp_path):
    """It leaves an empty directory, and from then on that is taken for the generated kernels."""
    impostor = tmp_path / "python3"
    impostor.write_text("#!/bin/sh\nexit 9\n")
    impostor.chmod(0o755)
    broken = {"PATH": f"{tmp_path}:{upstream.environment['PATH']}"}
    assert "Command 'python3 setup.py' returned non-zero exit status 9" in upstream.fails(env=broken)
    assert list(upstream.generated.iterdir()) == []
    upstream.fails(*NO_SUCH_GENERATOR)
    assert list(upstream.generated.iterdir()) == []


def _normalised(toolchain, architectures: str, cuda: str, tmp_path: Path) -> str:
    script = tmp_path / "normalise.cmake"
    script.write_text(
        "cmake_minimum_required(VERSION 3.27)\n"
        f'include("{TREE}/cpp/cmake/modules/cuda_configuration.cmake")\n'
        f'set(CMAKE_CUDA_COMPILER_VERSION {cuda})\nset(CMAKE_CUDA_ARCHITECTURES "{architectures}")\n'
        "setup_cuda_architectures()\n"
        'message(STATUS "result=${CMAKE_CUDA_ARCHITECTURES}")\n'
    )
    done = run(["cmake", "-P", script], env=toolchain.environment(tmp_path))
    found = re.search("result=(.*)", done.stdout)
    return found[1] if found else done.stderr


@pytest.mark.parametrize(
    ("architectures", "cuda", "expected"),
    [
        ("80", "13.0", "80-real"),
        ("89-real", "13.0", "86-real"),
        ("86;89", "13.0", "86-real"),
        ("87", "13.0", "87-real"),
        ("90", "13.0", "90a-real"),
        ("90a-real", "13.0", "90a-real"),
        ("100", "12.8", "100a-real"),
        ("100;103;120;121", "13.0", "100f-real;120f-real"),
        ("all", "12.6", "80-real;86-real;90a-real"),
        ("all", "13.0", "80-real;86-real;90a-real;100f-real;120f-real"),
        ("75", "13.0", "Unsupported CUDA architecture: 75"),
        ("100f", "13.0", "Unrecognized CUDA architecture: 100f"),
        ("90-virtual", "13.0", "PTX"),
        ("all-major", "13.0", "all-major makes no sense"),
    ],
)
def test_architectures_are_made_upstreams(toolchain, architectures, cuda, expected, tmp_path):
    result = _normalised(toolchain, architectures, cuda, tmp_path)
    assert result == expected or ("-real" not in expected and expected in result)
