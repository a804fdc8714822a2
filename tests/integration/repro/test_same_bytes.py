"""One lock, two builds as different as they may be: the same wheel; and a wheel that is not from its lock is found out.

Everything is in one test, since each of its builds takes half a minute.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.binary.elf import read_elf
from trtllm_builder.binary.fatbin import read_fatbin
from trtllm_builder.data import data_dir
from trtllm_builder.repro.codec import CODEC

pytestmark = pytest.mark.integration
PASSED = ("PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "PYENV_ROOT")
LIBRARY = "tensorrt_llm/libs/libtensorrt_llm.so"


class Machine:
    """Our command, with a home and caches of its own: as on another machine of the same kind."""

    def __init__(self, root: Path, **environ: str) -> None:
        self.root = root
        self.environ = {
            **{name: os.environ[name] for name in PASSED if name in os.environ},
            "HOME": str(root / "home"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
            **environ,
        }
        (root / "home").mkdir(parents=True)

    def run(self, *words: str | Path, expect: int = 0, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "trtllm_builder", *map(str, words)],
            env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=280, check=False, umask=umask,
        )  # fmt: skip
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done


def with_another_constant(wheel: Path, target: Path) -> None:
    """The wheel with one byte of its machine code for sm_89 changed, and a RECORD that agrees."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        library = bytearray(old.read(LIBRARY))
        (section,) = read_elf(io.BytesIO(library)).named(".nv_fatbin")
        entries = read_fatbin(bytes(library), section.offset, section.offset + section.size)
        entry = next(one for one in entries if one.target == "sm_89")
        library[entry.offset + entry.size // 2] ^= 1
        for info in old.infolist():
            data = bytes(library) if info.filename == LIBRARY else old.read(info)
            if info.filename.endswith("/RECORD"):
                digest = base64.urlsafe_b64encode(hashlib.sha256(library).digest()).rstrip(b"=").decode()
                lines = data.decode().splitlines()
                data = "".join(
                    f"{LIBRARY},sha256={digest},{len(library)}\n" if line.startswith(f"{LIBRARY},") else f"{line}\n"
                    for line in lines
                ).encode()
            new.writestr(info, data)


@pytest.mark.timeout(600)
def test_one_lock_one_wheel(tmp_path: Path, validate: Callable[[str, object], None]) -> None:
    here = Machine(tmp_path / "here")
    lock = tmp_path / "canary.lock.json"
    here.run("lock", "--profile", "canary", "--out", lock)
    document = json.loads(lock.read_text())
    validate("lock", document)
    assert str(tmp_path) not in lock.read_text() and not any("/" in one["name"] for one in of(document, "tool"))
    for kind in ("source", "submodule", "lfs", "dependency", "patch", "requirement", "toolkit", "compiler", "python"):
        assert of(document, kind) and all(one["digest"] for one in of(document, kind)), kind
    assert [one["version"] for one in of(document, "codec")] == [str(CODEC)]
    assert {"nvcc", "cicc", "ptxas", "cudafe++"} <= {one["name"] for one in of(document, "toolkit")}

    built = here.run("--locked", lock, "--workspace", here.root / "one", "--out", here.root / "out", "--jobs", "2")
    (wheel,) = (here.root / "out").glob("*.whl")
    record = json.loads(wheel.with_name(f"{wheel.name}.record.json").read_text())
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert record["lock"] == {"sha256": digest, "locked": True}
    assert f"-20260101_{digest[:8]}-" in wheel.name and "Traceback" not in built.stderr
    assert wheel.with_name(f"{wheel.name}.lock.json").read_text() == lock.read_text()

    reused(here, lock, wheel)
    refused(here, document, tmp_path)

    # Another machine as far as one machine can be one: nothing is shared but tools and toolkit.
    there = Machine(tmp_path / "quite" / "another", TZ="Asia/Tokyo", LANG="tr_TR.UTF-8", PYTHONHASHSEED="7")
    planted = there.root / wheel.name
    with_another_constant(wheel, planted)
    shutil.copy(lock, f"{planted}.lock.json")
    words = ("rebuild", planted, "--jobs", "3", "--json")
    told = json.loads(there.run(*words, expect=7, umask=0o077).stdout)
    validate("rebuild", told)
    assert not told["same"] and told["lock"] == digest and told["cached"] == 0
    again = Path(told["rebuilt"]["path"])
    assert again.name == wheel.name and again.read_bytes() == wheel.read_bytes()
    # What differs is named down to the kernels of that piece of GPU code, and nothing else is.
    changed = {one["name"]: one for one in told["comparison"]["members"]}
    assert {name for name in changed if not name.endswith("/RECORD")} == {LIBRARY}
    (code,) = changed[LIBRARY]["library"]["code"]
    assert code["target"] == "sm_89" and code["kernels"]
    assert [one["name"] for one in changed[LIBRARY]["library"]["sections"]] == [".nv_fatbin"]


def of(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in document["inputs"] if one["kind"] == kind]


def reused(machine: Machine, lock: Path, wheel: Path) -> None:
    """In a workspace without anything nothing is compiled, and the very same wheel comes out."""
    out = machine.root / "reused"
    done = machine.run("--locked", lock, "--workspace", machine.root / "two", "--out", out, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    stages = [one["stage"] for one in events if one["event"] == "stage" and one["state"] == "done"]
    assert stages == ["preflight", "tools", "reuse"]
    assert (out / wheel.name).read_bytes() == wheel.read_bytes()
    assert (out / f"{wheel.name}.record.json").is_file() and events[-1]["report"]["passed"]
    assert "wheel " in machine.run("gc").stdout


def refused(machine: Machine, document: dict[str, Any], place: Path) -> None:
    """Another compiler than the locked one ends it before anything is made; so does another profile."""
    for one in document["inputs"]:
        if one["name"] == "cc1plus":
            one["digest"] = {"sha256": "0" * 64}
    other = place / "other.lock.json"
    other.write_text(json.dumps(document))
    done = machine.run("--locked", other, "--workspace", machine.root / "three", expect=2)
    assert "compiler cc1plus" in done.stderr and "0000000000000000" in done.stderr
    assert not (machine.root / "three" / "source").exists()
    done = machine.run("--profile", "canary", "--set", "build.type=Debug", "--locked", other, expect=2)
    assert "build.type" in done.stderr
