"""The command as a person runs it, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import data_dir

pytestmark = pytest.mark.integration
DATA = data_dir(dict(os.environ)).parent
WAITS = "int MPI_Init(void* a, void* b) { for (;;) pause(); }\nint MPI_Finalize(void) { return 0; }\n"


def doctor(home: Path, *words: str, **environ: str) -> tuple[int, str, str, float]:
    """Exit status, output, errors and seconds. Nothing of the network is asked: a proxy that is not there stands in."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_DATA_HOME": str(DATA),
        "https_proxy": "http://127.0.0.1:1",
        **environ,
    }
    if "PYENV_ROOT" in os.environ:
        env["PYENV_ROOT"] = os.environ["PYENV_ROOT"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trtllm_builder", "doctor", *words], env=env, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


def patiently(home: Path, *words: str) -> tuple[int, str, str, float]:
    """Again where this machine had too much to do to answer in time, which is no fault of what is tested here."""
    for _ in range(2):
        answer = doctor(home, *words)
        if "in time" not in answer[1]:
            break
    return answer


def found(document: Mapping[str, Any], id: str) -> list[dict[str, str]]:
    return [one for group in document["groups"] for one in group["findings"] if one["id"] == id]


def test_this_machine(tmp_path: Path, validate: Callable[[str, object], None]) -> None:
    status, output, errors, seconds = patiently(tmp_path, "--json")
    document = json.loads(output)
    validate("doctor", document)
    assert status == (3 if document["failed"] else 0), errors
    # Where the cores are taken, two calls of nvcc may be too much for the time there is; the rest never is.
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert set(document["facts"]["late"]) <= ({"cache"} if busy else set())
    assert seconds < 5 + os.getloadavg()[0]
    cache = document["facts"]["cache"]
    if cache and cache["cached"] is not None:
        assert found(document, "ccache-works")[0]["level"] == "ok"
        assert cache["second"] < cache["first"]
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_profile_that_can_be_planned(tmp_path: Path) -> None:
    status, output, _, _ = patiently(tmp_path, "--profile", "canary")
    assert "\nprofile canary\n" in output
    assert status == (3 if "  fail " in output else 0)


def test_a_profile_that_this_machine_lacks_things_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("schema: 1\nextends: canary\npython: host\ncuda: {toolkit: '>=99'}\n")
    status, output, _, _ = patiently(tmp_path, "--profile", str(path))
    assert status == 3
    assert "fail     plan: no CUDA toolkit >=99 is here" in output


def test_programs_that_hang_cost_no_more_than_five_seconds(tmp_path: Path) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("nvidia-smi", "cmake", "ccache", "git", "g++", "mpirun", "nvcc", "git-lfs"):
        (place / name).write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/started\nexec sleep 600\n")
        (place / name).chmod(0o755)
    _, output, errors, seconds = doctor(tmp_path, "--profile", "canary", PATH=f"{place}:/usr/bin:/bin")
    assert "no answer in time about" in output, errors
    assert "waited for" in output
    assert seconds < 5 + os.getloadavg()[0]
    started = [int(line) for line in (tmp_path / "started").read_text().split()]
    assert started and not [pid for pid in started if "sleep\x00600" in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(("launcher", "offered"), [("exit 0", True), ("exec sleep 600", False), (None, False)])
def test_a_multi_device_wheel_where_mpi_waits_for_ever(
    make_wheel: Callable[..., Path],
    make_library: Callable[..., bytes],
    tmp_path: Path,
    launcher: str | None,
    offered: bool,
) -> None:
    members = {"tensorrt_llm/libs/libtensorrt_llm.so": make_library(needs={"libmpi.so.40": "int x;"})}
    wheel = make_wheel(members, requires=("mpi4py",))
    place = tmp_path / "mpi"
    place.mkdir()
    source = "#include <unistd.h>\n" + WAITS
    (place / "libmpi.so.40").write_bytes(make_library(source=source, options=("-Wl,-soname,libmpi.so.40",)))
    if launcher is not None:
        (place / "mpirun").write_text(f"#!/bin/sh\n{launcher}\n")
        (place / "mpirun").chmod(0o755)
    status, output, errors, _ = doctor(
        tmp_path, "--wheel", str(wheel), PATH=f"{place}:/usr/bin:/bin", LD_LIBRARY_PATH=str(place)
    )
    assert status == 3, errors
    assert (
        "fail     wheel-mpi: it is a multi-device wheel (libmpi.so.40, mpi4py), and MPI does not start here" in output
    )
    assert ("python PROGRAM" in output) is offered
    assert "did not come back" in output
    assert "single-device wheel: trtllm-build --profile" in output


def test_tensorrt_llm_s_own_command_hides_ours(tmp_path: Path) -> None:
    (tmp_path / "trtllm-build").write_text("#!/bin/sh\n# tensorrt_llm.commands.build\n")
    (tmp_path / "trtllm-build").chmod(0o755)
    _, output, _, _ = doctor(tmp_path, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert f"is {tmp_path}/trtllm-build, TensorRT-LLM's engine compiler" in output


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--wheel", "/nonexistent.whl"), 2, "cannot be read"),
        (("--wheel", "/dev/null"), 2, "is a device, not a file"),
        (("--profile", "no-such-profile"), 2, "no profile named"),
        (("--wheel", __file__), 3, "cannot be verified"),
    ],
)
def test_rubbish(tmp_path: Path, words: tuple[str, ...], status: int, told: str) -> None:
    code, output, errors, _ = doctor(tmp_path, *words)
    assert (code, told in output + errors) == (status, True), output + errors
    assert "Traceback" not in errors
