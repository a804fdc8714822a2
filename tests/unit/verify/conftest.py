"""Toy wheels of a tensorrt_llm that is a few lines of Python, and libraries that gcc makes around recorded fatbins."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from trtllm_builder.verify.exercise import exercise
from trtllm_builder.verify.smoke import Answer, Smoke, private_environment

DATA = Path(__file__).parents[2] / "data" / "fatbin"
INIT = "from .version import __version__\nfrom .llm import LLM\n"
LLM = """
class Out:
    def __init__(self, text): self.outputs = [self]; self.text = text
class LLM:
    def __init__(self, model): self.model = model
    def generate(self, prompts): return [Out(self.model + ":" + p[::-1]) for p in prompts]
"""
BINDINGS = "class BuildInfo:\n    ENABLE_MULTI_DEVICE = 0\n"

ASK = Answer("model", "abc", "model:cba")

MakeWheel = Callable[..., Path]
MakeLibrary = Callable[..., bytes]
Try = Callable[..., Smoke]


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """``make_wheel({member: content}, version=..., requires=(...))``: content replaces or adds to the sound toy."""

    def make(
        members: Mapping[str, str | bytes] | None = None,
        *,
        version: str = "1.2.0+sd.cu130.sm89",
        requires: tuple[str, ...] = (),
        tag: str = "py3-none-any",
        file_version: str | None = None,
    ) -> Path:
        info = f"tensorrt_llm-{version}.dist-info"
        metadata = f"Metadata-Version: 2.4\nName: tensorrt-llm\nVersion: {version}\n"
        files: dict[str, str | bytes] = {
            "tensorrt_llm/__init__.py": INIT,
            "tensorrt_llm/version.py": f"__version__ = {version!r}\n",
            "tensorrt_llm/llm.py": LLM,
            "tensorrt_llm/bindings.py": BINDINGS,
            f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {name}\n" for name in requires),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: false\nTag: {tag}\n",
            **(members or {}),
        }
        path = tmp_path / f"tensorrt_llm-{file_version or version}-{tag}.whl"
        listed = []
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                archive.writestr(name, data)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                listed.append(f"{name},sha256={digest},{len(data)}")
            archive.writestr(f"{info}/RECORD", "\n".join([*listed, f"{info}/RECORD,,", ""]))
        return path

    return make


@pytest.fixture(scope="session")
def make_library(tmp_path_factory: pytest.TempPathFactory) -> MakeLibrary:
    """``make_library(fatbin="many.fatbin", section=".nv_fatbin", source="", options=(), needs={soname: source})``."""

    def make(
        fatbin: str = "",
        *,
        section: str = ".nv_fatbin",
        source: str = "",
        options: tuple[str, ...] = (),
        needs: Mapping[str, str] | None = None,
    ) -> bytes:
        key = (fatbin, section, source, options, tuple((needs or {}).items()))
        if key in made:
            return made[key]
        place = tmp_path_factory.mktemp("library")
        (place / "code.c").write_text(source or "int nothing;")
        parts = ["code.c"]
        if fatbin:
            (place / "gpu.s").write_text(f'.section {section}, "a"\n.align 8\n.incbin "{DATA / fatbin}"\n')
            parts.append("gpu.s")
        for soname, code in (needs or {}).items():
            (place / f"{soname}.c").write_text(code)
            subprocess.run(
                ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", soname, f"{soname}.c"], cwd=place, check=True
            )
            parts.append(f"./{soname}")
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-Wl,-z,noexecstack", "-o", "out.so", *parts, *options],
            cwd=place,
            check=True,
        )
        made[key] = (place / "out.so").read_bytes()
        return made[key]

    made: dict[object, bytes] = {}
    return make


@pytest.fixture
def attempt(tmp_path: Path, make_wheel: Callable[..., Path]) -> Try:
    """Unpacks a toy wheel into an environment made by hand and exercises it."""

    def run(
        members: Mapping[str, str | bytes] | None = None,
        *,
        answer: Answer | None = ASK,
        stall: float = 20.0,
        deadline: float = 30.0,
        build_info: bool = True,
        host: Mapping[str, str] | None = None,
    ) -> Smoke:
        env = tmp_path / "env"
        site = env / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
        site.mkdir(parents=True)
        (env / "bin").mkdir()
        (env / "bin" / "python").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
        (env / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}\n")  # type: ignore[attr-defined]
        with zipfile.ZipFile(make_wheel(members)) as archive:
            archive.extractall(site)
        return exercise(
            env / "bin" / "python",
            tmp_path,
            modules=("tensorrt_llm",),
            build_info=build_info,
            answer=answer,
            environ=private_environment(tmp_path),
            stall=stall,
            deadline=deadline,
            host=host,
        )

    return run
