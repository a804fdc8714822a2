"""What unpatched wheels do in a container without a process manager: each hang by itself, by its own stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.process import run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        Path("/run/pmix").exists(), reason="this machine has the process manager that the hangs wait for"
    ),
]

IMPORT = "import tensorrt_llm"
ANSWER = "import tensorrt_llm; print(tensorrt_llm.LLM(model='canary').generate(['6 * 7'])[0].outputs[0].text)"
# What mpirun would set (seed 002's way out): the import passes, and nothing that starts workers does.
AS_FROM_MPIRUN = {"OMPI_COMM_WORLD_RANK": "0"}
ONE_PROCESS = {"TLLM_WORKER_USE_SINGLE_PROCESS": "1"}


def _needed(library: Path) -> str:
    return run(["readelf", "--dynamic", library], env={"PATH": "/usr/bin:/bin"}).stdout


def test_defaults_link_mpi_and_single_device_does_not(multi_site, single_site):
    assert "[libmpi.so.40]" in _needed(multi_site.directory / "tensorrt_llm/libs/libtensorrt_llm.so")
    for library in (single_site.directory / "tensorrt_llm").rglob("*.so"):
        assert "libmpi" not in _needed(library), library


def test_build_info_says_which(multi_site, single_site):
    """The bindings load without MPI being initialised: it is the package's own import that waits."""
    code = "sys.path.insert(0, 'site/tensorrt_llm'); import bindings; print(bindings.BuildInfo.ENABLE_MULTI_DEVICE)"
    assert multi_site.run(f"import sys; {code}").stdout.strip() == "1"
    assert single_site.run(f"import sys; {code}").stdout.strip() == "0"


def test_multi_device_hangs_at_import_in_mpi4py(multi_site):
    """Seeds 000 and 002."""
    stack = multi_site.hang(IMPORT)
    assert "mpi4py/MPI.py" in stack and "tensorrt_llm/_utils.py" in stack


def test_multi_device_hangs_at_import_in_cpp_when_mpi4py_is_faked(multi_site, fake_mpi4py):
    """Seed 000: with a fake mpi4py "the C++ layer still blocks"."""
    stack = multi_site.hang(IMPORT, before=[fake_mpi4py])
    assert "tensorrt_llm/_common.py" in stack and "mpi4py" not in stack


def test_single_device_alone_still_hangs_at_import_in_mpi4py(single_site):
    """ENABLE_MULTI_DEVICE=0 changes the C++ half only: both halves are needed."""
    stack = single_site.hang(IMPORT)
    assert "mpi4py/MPI.py" in stack and "tensorrt_llm/_utils.py" in stack


def test_single_device_needs_mpi4py_even_so(single_site):
    done = single_site.run(f"import sys; sys.modules['mpi4py'] = None; {IMPORT}")
    assert "tensorrt_llm/_utils.py" in done.stderr and "mpi4py" in done.stderr.splitlines()[-1]


def test_under_mpirun_the_import_passes_and_the_executor_hangs(multi_site):
    """Seed 004's path: one GPU, GenerationExecutorProxy, an MPI pool. An import is not enough."""
    assert multi_site.run(IMPORT, AS_FROM_MPIRUN).ok
    stack = multi_site.hang(ANSWER, AS_FROM_MPIRUN)
    assert "mpi4py/futures" in stack and "mpi_session.py" in stack and "executor/proxy.py" in stack


def test_single_device_past_the_import_has_no_pool_to_start(single_site, fake_mpi4py):
    """mpi_session.py imports the MPI pool only in a multi device build: the executor fails where it would have hung."""
    assert single_site.run(IMPORT, before=[fake_mpi4py]).ok
    done = single_site.run(ANSWER, before=[fake_mpi4py])
    assert "NameError: name 'MPIPoolExecutor' is not defined" in done.stderr


@pytest.mark.parametrize("kind", ["multi", "single"])
def test_one_process_answers_without_a_pool(kind, multi_site, single_site, fake_mpi4py):
    site, extra, before = (multi_site, AS_FROM_MPIRUN, []) if kind == "multi" else (single_site, {}, [fake_mpi4py])
    done = site.run(ANSWER, {**ONE_PROCESS, **extra}, before=before)
    assert done.stdout.splitlines()[-1] == "42", done.stderr


def test_deep_gemm_is_imported_without_a_guard(single_site, fake_mpi4py):
    """With the module left out of the wheel, the import fails in dsa.py."""
    code = f"import sys; sys.modules['tensorrt_llm.deep_gemm'] = None; {IMPORT}"
    done = single_site.run(code, before=[fake_mpi4py])
    assert "sparse/dsa.py" in done.stderr and "deep_gemm" in done.stderr.splitlines()[-1]


def test_a_launch_without_a_driver_is_a_sentence(single_site, fake_mpi4py):
    done = single_site.run(f"{IMPORT}; print(tensorrt_llm.bindings.launch(7))", before=[fake_mpi4py])
    last = done.stdout.splitlines()[-1]
    assert last == "49" or last.startswith("error: cudaError"), done.stderr
