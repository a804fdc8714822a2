"""Facts of files that a test made, and programs that never answer."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.doctor.gather import Gathering
from trtllm_builder.doctor.machine_facts import read_graphics, read_machine
from trtllm_builder.doctor.network import ask_network
from trtllm_builder.doctor.program_facts import find_commands, read_mpi
from trtllm_builder.host.driver import CudaDriver
from trtllm_builder.host.system import read_system
from trtllm_builder.process import run
from trtllm_builder.verify.watch import children


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_rented_container_s_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\n\nprocessor\t: 1\n",
            "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 900 kB\n",
            "proc/self/cgroup": "0::/a/b\n",
            "proc/self/mountinfo": "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 none rw\n",
            "sys/fs/cgroup/a/b/memory.max": "204800",
            "sys/fs/cgroup/a/memory.oom.group": "1",
            "sys/fs/cgroup/a/b/memory.oom.group": "0",
            "proc/sys/kernel/osrelease": "5.15.0\n",
            "root/autodl-tmp/x": "",
            "dev/nvidia0": "",
        },
    )
    machine = read_machine({"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, tmp_path)
    assert (machine.cores, machine.kernel, machine.provider, machine.shm) == (2, "5.15.0", "AutoDL", None)
    assert machine.oom_groups == ("/sys/fs/cgroup/a",)
    assert machine.memory.allowed == 204800
    assert [place.role for place in machine.places] == ["system"]  # all on one disk
    graphics = read_graphics({"PATH": "/nowhere", "NVIDIA_VISIBLE_DEVICES": "all"}, tmp_path)
    assert (graphics.nodes, graphics.asked_for) == (("/dev/nvidia0",), "all")


def test_a_directory_called_workspace_makes_no_runpod(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    environ = {"HOME": str(tmp_path)}
    assert read_machine(environ, tmp_path).provider is None
    assert read_machine({**environ, "RUNPOD_POD_ID": "x"}, tmp_path).provider == "RunPod"


def test_mpirun_is_run_only_when_asked_for(tmp_path: Path) -> None:
    program(tmp_path / "mpirun", f"echo $TMPDIR > {tmp_path}/ran; exit 0")
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PMI_RANK": "0"}
    found = read_mpi(environ, tmp_path)
    assert (found.mpirun, found.ran, found.launched_by, found.manager) == (
        str(tmp_path / "mpirun"),
        None,
        "PMI_RANK",
        False,
    )
    assert not (tmp_path / "ran").exists()
    assert read_mpi(environ, tmp_path, try_mpirun=True).ran is not None
    assert not Path((tmp_path / "ran").read_text().strip()).exists()
    program(tmp_path / "mpirun", "echo 'There are not enough slots' >&2; exit 1")
    assert read_mpi(environ, tmp_path, try_mpirun=True).why == "There are not enough slots"


def test_who_is_called_trtllm_build(tmp_path: Path) -> None:
    program(tmp_path / "a/trtllm-build", "# from tensorrt_llm.commands.build import main")
    program(tmp_path / "b/trtllm-build", "# from trtllm_builder.cli.app import main")
    program(tmp_path / "c/trtllm-build", "exit 1")
    found = find_commands({"PATH": ":".join(str(tmp_path / name) for name in "abc")})
    assert [one.whose for one in found] == ["TensorRT-LLM", "ours", "unknown"]


def test_the_network_is_only_connected_to() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        open_, closed = f"https://127.0.0.1:{port}/x", "https://127.0.0.1:1/x"
        (only,) = ask_network((open_,), (closed,), {})
        assert only.what == "source" and only.seconds is not None
        first, second = ask_network((closed,), (open_,), {})
        assert (first.seconds, first.why) == (None, "Connection refused")
        assert second.what == "mirror" and second.seconds is not None
        (proxy,) = ask_network((closed,), (), {"https_proxy": f"127.0.0.1:{port}"})
        assert proxy.what == "proxy" and proxy.seconds is not None
    assert ask_network(("https://[bad/x",), (), {})[0].seconds is None


def test_programs_that_never_answer_are_left_out_and_ended(tmp_path: Path) -> None:
    hang = program(tmp_path / "hang", "exec sleep 60")
    before = children(os.getpid())
    began = time.monotonic()
    gathering = Gathering(
        {
            "commands": lambda: (),
            "mpi": lambda: [run([hang], env={}) for _ in range(3)],
            "programs": lambda: time.sleep(60),
            "plan": lambda: time.sleep(60),
        },
        0.3,
    )
    facts, plan = gathering.finish()
    assert time.monotonic() - began < 3
    assert facts.late == ("mpi", "programs", "plan") and facts.commands == () and facts.mpi is None and plan is None
    assert "sleep 60" in facts.hung
    until = time.monotonic() + 5
    while children(os.getpid()) - before and time.monotonic() < until:
        time.sleep(0.02)
    assert children(os.getpid()) == before


def test_what_cannot_be_read_costs_its_own_line_only() -> None:
    def shut() -> object:
        raise PermissionError(13, "Permission denied", "/root/autodl-tmp")

    def odd() -> object:
        raise ValueError("not a number")

    facts, _ = Gathering({"machine": shut, "plan": odd, "commands": lambda: ()}, 5).finish()
    assert facts.commands == () and facts.machine is None
    assert facts.failed == {"machine": "Permission denied: /root/autodl-tmp", "plan": "not a number"}


def test_a_directory_that_may_not_be_looked_at_makes_no_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if "autodl-tmp" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, **options)

    monkeypatch.setattr("os.stat", stat)
    assert read_machine({"HOME": str(tmp_path)}, tmp_path).provider is None


def test_a_hanging_git_costs_its_own_version(tmp_path: Path) -> None:
    program(tmp_path / "git", "exec sleep 60")
    program(tmp_path / "make", "echo GNU Make 4.3")
    found = read_system({"PATH": f"{tmp_path}:/usr/bin:/bin"}, None, tmp_path, timeout=0.3)
    versions = {one.name: one.version for one in found.prerequisites}
    assert versions["git"] is None and versions["make"] == "4.3"


def test_a_hanging_nvidia_smi_does_not_silence_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "nvidia-smi", f"echo x >> {tmp_path}/calls; exec sleep 60")
    monkeypatch.setattr("trtllm_builder.doctor.machine_facts._LIMIT", 0.3)
    told = CudaDriver(True, True, "12.8")
    monkeypatch.setattr("trtllm_builder.doctor.machine_facts.ask_driver", lambda *_, **__: told)
    found = read_graphics({"PATH": f"{tmp_path}:/usr/bin:/bin"}, tmp_path)
    assert found.cuda == told and found.gpus == ()
    assert (tmp_path / "calls").read_text() == "x\n"


def test_a_fault_of_ours_is_not_hidden() -> None:
    def broken() -> object:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Gathering({"mpi": broken}, 5).finish()
