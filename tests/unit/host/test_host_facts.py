"""Disk, GPU and driver, interpreters, operating system: real ones of this machine and small fakes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import venv
from pathlib import Path

import pytest

from trtllm_builder.host.disk import probe_disk
from trtllm_builder.host.gpu import Driver, Gpu, driver_runs, read_gpus
from trtllm_builder.host.interpreters import Interpreter, find_python, inspect
from trtllm_builder.host.read import read_host
from trtllm_builder.host.system import read_system


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_room_for_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    disk = probe_disk(tmp_path / "not/yet/there")
    assert disk.path == str(tmp_path)
    assert disk.free <= shutil.disk_usage(tmp_path).total == disk.total
    assert disk.device == tmp_path.stat().st_dev
    assert disk.writable
    assert probe_disk(Path("/proc/1")).free == 0


def test_gpus_and_driver_as_nvidia_smi_prints_them(tmp_path: Path) -> None:
    program(tmp_path / "nvidia-smi", "echo 'NVIDIA GeForce RTX 4090, 24564, 570.195.03, 8.9'")
    gpus, driver = read_gpus({"PATH": str(tmp_path)})
    assert gpus == (Gpu("NVIDIA GeForce RTX 4090", "8.9", 24564 * 2**20),)
    assert driver == Driver("570.195.03", "nvidia-smi")


def test_an_old_driver_does_not_know_compute_cap(tmp_path: Path) -> None:
    body = 'case "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field"; exit 2;; esac\n'
    program(tmp_path / "nvidia-smi", body + "echo 'Tesla V100, [N/A], 450.80.02'")
    gpus, driver = read_gpus({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert gpus == (Gpu("Tesla V100", None, None),)
    assert driver == Driver("450.80.02", "nvidia-smi")


@pytest.mark.parametrize(
    "body",
    [
        "exec sleep 60",
        "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9",
        "echo 'No devices were found'",
    ],
)
def test_a_sick_nvidia_smi_leaves_the_kernel_s_word(tmp_path: Path, body: str) -> None:
    program(tmp_path / "bin/nvidia-smi", body)
    path = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    assert read_gpus(path, tmp_path, timeout=0.2) == ((), None)
    proc = tmp_path / "proc/driver/nvidia/version"
    proc.parent.mkdir(parents=True)
    proc.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version: 12\n"
    )
    assert read_gpus(path, tmp_path, timeout=0.2)[1] == Driver("580.95.05", "/proc/driver/nvidia/version")


@pytest.mark.parametrize(
    ("driver", "cuda", "runs"),
    [
        ("570.195.03", "12.9", True),
        ("525.60.13", "12.9", True),
        ("520.61.05", "12.0", False),
        ("570.195.03", "13.0", False),
        ("580.65.06", "13.1", True),
        ("580", "14.0", None),
        ("unknown", "12.9", None),
    ],
)
def test_minor_version_compatibility(driver: str, cuda: str, runs: bool | None) -> None:
    assert driver_runs(driver, cuda) is runs


def test_our_own_interpreter_is_the_base_of_the_venv_we_run_in(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    ours, inside = find_python("host", os.environ), inspect(tmp_path / "env/bin/python", os.environ)
    assert ours is not None
    assert inside is not None
    assert inside.path == ours.path
    assert ours.version == ".".join(map(str, sys.version_info[:3]))
    assert str(tmp_path) not in str(inside.path)


def fake_python(path: Path, version: str, *, has_venv: bool = True, headers: bool = True) -> Path:
    answer = {"version": version, "path": str(path), "venv": has_venv, "headers": headers, "include": "/include"}
    return program(path, f"echo '{json.dumps(answer)}'")


def test_a_shim_that_fails_is_passed_over_for_pyenv_s_own_directory(tmp_path: Path) -> None:
    root = tmp_path / "pyenv"
    program(root / "shims/python3.9", "echo 'pyenv: python3.9: command not found' >&2; exit 127")
    real = fake_python(root / "versions/3.9.18/bin/python3.9", "3.9.18")
    found = find_python("3.9", {"PATH": f"{root}/shims", "HOME": "/nowhere"})
    assert found == Interpreter(real, "3.9.18", True, True, "/include")
    assert found.series == "3.9"


def test_an_interpreter_without_headers_is_taken_only_when_no_other_is_there(tmp_path: Path) -> None:
    bare = fake_python(tmp_path / "bin/python3.9", "3.9.2", headers=False)
    environ = {"PATH": f"{tmp_path}/bin", "HOME": str(tmp_path)}
    lesser = find_python("3.9", environ)
    assert lesser is not None
    assert (lesser.path, lesser.fit) == (bare, False)
    whole = fake_python(tmp_path / ".local/share/uv/python/cpython-3.9.20-linux/bin/python3.9", "3.9.20")
    found = find_python("3.9", environ)
    assert found is not None
    assert found.path == whole


def test_python3_counts_when_its_version_is_the_one(tmp_path: Path) -> None:
    fake_python(tmp_path / "python3", "3.9.7")
    environ = {"PATH": str(tmp_path), "HOME": "/nowhere"}
    assert find_python("3.9", environ) is not None
    assert find_python("3.9.8", environ) is None
    assert find_python("3.99", environ) is None


@pytest.mark.parametrize("body", ["exit 1", "echo no json", "echo []", "kill -9 $$"])
def test_what_does_not_answer_is_no_interpreter(tmp_path: Path, body: str) -> None:
    assert inspect(program(tmp_path / "python3", body), os.environ) is None


def test_missing_prerequisites_are_named_with_a_remedy(tmp_path: Path) -> None:
    program(tmp_path / "git", "echo git version 2.39.5")
    program(tmp_path / "g++", "echo 'g++ (Debian 12.2.0-14+deb12u1) 12.2.0'")
    interpreter = Interpreter(Path("/usr/bin/python3.10"), "3.10.12", False, False, "/usr/include/python3.10")
    system = read_system({"PATH": str(tmp_path)}, interpreter)
    assert [item.name for item in system.missing] == ["make", "python3.10 venv", "python3.10 headers"]
    versions = {item.name: item.version for item in system.prerequisites}
    assert (versions["git"], versions["g++"]) == ("2.39.5", "12.2.0")
    assert "apt-get install -y make" in system.missing[0].remedy
    assert "python3.10-venv" in system.missing[1].remedy
    assert "python3.10-dev" in system.missing[2].remedy
    assert all("without root" in item.remedy for item in system.missing)


def test_the_system_says_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n')
    assert read_system({"PATH": ""}, None, tmp_path).os_name == "Ubuntu 22.04.4 LTS"
    assert read_system({"PATH": ""}, None, tmp_path).container is None
    (tmp_path / ".dockerenv").touch()
    assert read_system({"PATH": ""}, None, tmp_path).container == "docker"
    release = tmp_path / "proc/sys/kernel/osrelease"
    release.parent.mkdir(parents=True)
    release.write_text("5.15.167.4-microsoft-standard-WSL2")
    assert read_system({"PATH": ""}, None, tmp_path).container == "wsl2"


def test_the_whole_host_is_plain_json() -> None:
    document = json.loads(json.dumps(read_host().to_json()))
    assert document["cpu"]["usable"] >= 1
    assert document["memory"]["allowed"] > 0
    assert document["system"]["machine"]
    assert document["interpreter"]["version"]
