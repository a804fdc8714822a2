"""Small honest wheels, with the records that builds of ours would have left beside them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

FATBIN = Path(__file__).parents[2] / "data" / "fatbin" / "many.fatbin"
PYTHON = f"cp3{sys.version_info.minor}"
OURS = f"{PYTHON}-{PYTHON}-linux_x86_64"
VERSION = "1.2.0+sd.cu130.sm89"
LLM = """
class Out:
    def __init__(self, text): self.outputs = [self]; self.text = text
class LLM:
    def __init__(self, model): self.model = model
    def generate(self, prompts): return [Out(self.model + ":" + p[::-1]) for p in prompts]
"""

MakeWheel = Callable[..., Path]
MakeBuild = Callable[..., Path]


def write_wheel(
    directory: Path,
    name: str,
    version: str,
    members: Mapping[str, str | bytes],
    *,
    headers: str = "",
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    build: str = "",
    inside: str = "",
    file_name: str = "",
) -> Path:
    """``inside``: the version that METADATA says; ``headers``: more lines of it; ``build``: PEP 427's tag."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {inside or version}\n{headers}"
    pure = str(tag.startswith("py")).lower()
    files: dict[str, str | bytes] = {
        **members,
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
        + (f"Build: {build}\n" if build else ""),
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / (file_name or f"{stem}-{f'{build}-' if build else ''}{tag}.whl")
    listed = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            archive.writestr(zipfile.ZipInfo(member), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            listed.append(f"{member},sha256={digest},{len(data)}")
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "\n".join([*listed, f"{info}/RECORD,,", ""]))
    return path


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """``make_wheel("numpy", "2.0")``: another project's wheel, one module of which tells its version."""

    def make(name: str = "small", version: str = "1.0", *, directory: Path | None = None, **more: Any) -> Path:
        module = f"{name.replace('-', '_')}.py"
        content = f"__version__ = {version!r}\n" + more.pop("content", "")
        members = {module: content, **more.pop("members", {})}
        return write_wheel(directory or tmp_path / "dist", name, version, members, **more)

    return make


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A shared library that holds GPU code for sm_89, among others."""
    place = tmp_path_factory.mktemp("library")
    (place / "code.c").write_text("int nothing;")
    (place / "gpu.s").write_text(f'.section .nv_fatbin, "a"\n.align 8\n.incbin "{FATBIN}"\n')
    words = ["gcc", "-shared", "-fPIC", "-Wl,-z,noexecstack", "-o", "out.so", "code.c", "gpu.s"]
    subprocess.run(words, cwd=place, check=True)
    return (place / "out.so").read_bytes()


@pytest.fixture
def make_build(tmp_path: Path, library: bytes) -> MakeBuild:
    """``make_build(VERSION)``: a wheel as a build of ours leaves it, with its record; ``record`` changes that."""

    def make(
        version: str = VERSION,
        *,
        directory: Path | None = None,
        record: Callable[[dict[str, Any]], object] | None = None,
        members: Mapping[str, str | bytes] | None = None,
        lock: dict[str, object] | None = None,
        **more: Any,
    ) -> Path:
        wheel = write_wheel(
            directory or tmp_path / "dist",
            "tensorrt-llm",
            version,
            {
                "tensorrt_llm/__init__.py": "from .version import __version__\nfrom .llm import LLM\n",
                "tensorrt_llm/version.py": f"__version__ = {version!r}\n",
                "tensorrt_llm/llm.py": LLM,
                "tensorrt_llm/bindings.py": "class BuildInfo:\n    ENABLE_MULTI_DEVICE = 0\n",
                "tensorrt_llm/libs/libtensorrt_llm.so": library,
                **(members or {}),
            },
            tag=OURS,
            headers="Summary: A toy TensorRT-LLM\nRequires-Python: >=3.10, <4\n" + more.pop("headers", ""),
            **more,
        )
        document = record_of(wheel, version)
        if lock:
            document["lock"] = lock
        if record:
            record(document)
        wheel.with_name(f"{wheel.name}.record.json").write_text(json.dumps(document))
        wheel.with_name(f"{wheel.name}.report.html").write_text("<title>the report</title>")
        return wheel

    return make


def record_of(wheel: Path, version: str) -> dict[str, Any]:
    """Those parts of schemas/record.json that are read when a wheel is published."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    passed = [{"id": name, "severity": "error", "status": "passed", "fault": ""} for name in ("install", "import")]
    return {
        "schema": 1,
        "wheel": {"name": wheel.name, "sha256": sha256, "size": wheel.stat().st_size},
        "plan": {
            "profile": "toy",
            "source": {"url": "https://git.example/TensorRT-LLM.git"},
            "verification": {
                "targets": {
                    "required": [["sm_89"]],
                    "allowed": ["sm_80", "sm_89", "sm_90a", "sm_100f", "sm_120"],
                    "reason": "the profile says so",
                },
                "max_size": 1 << 20,
                "import_deadline": 60.0,
                "model": "toy",
                "prompt": "abc",
                "expect": "toy:cba",
            },
            "options": [{"name": "ENABLE_MULTI_DEVICE", "value": "0"}],
            "python_version": f"3.{sys.version_info.minor}",
            "workspace": {"value": "/nowhere/at/all"},
        },
        "patches": {"version": version},
        "source": {
            "state": "clean", "edited": {}, "uncommitted": {}, "pinned": True, "served_by": "original",
            "ref": "v1.2.0", "commit": "c" * 40, "dependencies": [],
        },
        "measured": {"ccache": {}},
        "report": {"sha256": sha256, "passed": True, "checks": passed},
    }  # fmt: skip


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """For our own command in a child: nothing of the developer's."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
