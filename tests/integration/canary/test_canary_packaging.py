"""Traps after the compiler: what packaging expects, deletes, rewrites and believes. Unpatched, with real tools."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.integration

NO_WHEEL = ("--skip_building_wheel", "--skip-stubs")


def test_the_wheel_is_not_for_upload_and_still_wants_mpi4py(single, single_site):
    assert single.wheel.name.startswith("tensorrt_llm-0.0.0+canary-")
    assert single.wheel.name.endswith("-linux_x86_64.whl")
    metadata = (single_site.directory / "tensorrt_llm-0.0.0+canary.dist-info/METADATA").read_text()
    assert "Classifier: Private :: Do Not Upload" in metadata
    assert "Requires-Dist: mpi4py" in metadata
    assert (single_site.directory / "bin/trtllm-build").is_file()
    assert "ENABLE_MULTI_DEVICE=0" in (single.build_dir / "compile_commands.json").read_text()
    assert single.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("deep_ep", "No such file or directory: '{}/tensorrt_llm/deep_ep/cuda_architectures.txt'"),
        ("deep_gemm", "AssertionError: Exactly one binding library should be present: []"),
        ("flash_mla", "No such file or directory: '{}/tensorrt_llm/flash_mla/cuda_architectures.txt'"),
    ],
)
def test_packaging_insists_on_each_module(packed, online, module, message):
    """Targets can be chosen without a patch (BUILD_WHEEL_TARGETS); what is packed cannot."""
    shutil.rmtree(packed.build_dir / "tensorrt_llm" / module)
    wanted = [
        name for name in ("th_common", "bindings", "pg_utils", "deep_ep", "deep_gemm", "flash_mla") if name != module
    ]
    definitions = (*online, f"-DBUILD_{module.upper()}=OFF", "-DBUILD_WHEEL_TARGETS=tensorrt_llm")
    done = packed.quick("--configure_cmake", *definitions, "--extra-make-targets", *wanted)
    assert done.returncode
    assert message.format(packed.build_dir) in done.stderr


def test_stubs_of_deep_gemm_are_made_unasked(packed):
    """A library that cannot be imported stands for one that is absent or lacks its own libraries."""
    (library,) = (packed.build_dir / "tensorrt_llm/deep_gemm").glob("*.so")
    library.write_bytes(b"")
    done = packed.quick("--skip_building_wheel")
    assert done.returncode
    assert "stubgen.py\" -o . deep_gemm_cpp_tllm' returned non-zero" in done.stderr
    assert packed.quick("--skip_building_wheel", "--skip-stubs").ok


def test_without_stubs_the_wheel_lacks_a_directory(packed):
    done = packed.quick("--skip-stubs")
    assert done.returncode
    assert "ImportError: The `bindings` module does not exist" in done.stdout + done.stderr


@pytest.mark.parametrize("variable", ["HOME", "TRTLLM_DG_CACHE_DIR"])
def test_packaging_empties_a_directory_of_the_users(packed, variable, tmp_path):
    precious = tmp_path / "user/.tensorrt_llm/kernel.cubin"
    precious.parent.mkdir(parents=True)
    precious.touch()
    value = precious.parent.parent if variable == "HOME" else precious.parent
    assert packed.quick(*NO_WHEEL, env={variable: str(value)}).ok
    assert list(precious.parent.iterdir()) == []


def test_cuda_12_in_the_environment_rewrites_the_requirements(packed):
    assert packed.quick(env={"CUDA_VERSION": "12.9.1"}).ok
    changed = packed.git("diff", "--unified=0", "requirements.txt").splitlines()
    assert any(line.startswith("+nvidia-cuda-runtime-cu12") for line in changed)
    assert any(line.startswith("+# nvidia-cuda-runtime ") for line in changed)


def test_a_changed_definition_is_ignored_without_configure(packed):
    assert packed.quick("-DENABLE_MULTI_DEVICE=0", *NO_WHEEL).ok
    assert "ENABLE_MULTI_DEVICE:BOOL=ON" in (packed.build_dir / "CMakeCache.txt").read_text()


def test_a_truncated_generated_file_is_compiled_as_it_is(packed):
    (kernel,) = packed.generated.glob("*S_64*.cu")
    kernel.write_text(kernel.read_text()[:200])
    done = packed.quick(*NO_WHEEL)
    assert done.returncode
    assert kernel.name in done.stdout and "error" in done.stdout
    assert packed.quick("--generate_fmha", *NO_WHEEL).ok


def test_an_empty_generated_directory_is_trusted_until_the_linker(packed, online):
    for kernel in packed.generated.iterdir():
        kernel.unlink()
    done = packed.quick("--configure_cmake", *online, *NO_WHEEL)
    assert done.returncode
    assert "run_fmha_v2_S_64" in done.stdout
