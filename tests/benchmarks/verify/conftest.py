"""Real wheels from PyPI, downloaded once into the directory that TRTLLM_BUILDER_WHEELS names; never in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

WHEELS = {
    "sgl-kernel": "sgl-kernel==0.3.21",
    "bitsandbytes": "bitsandbytes==0.50.2",
    "tokenspeed-trtllm-kernel": "tokenspeed-trtllm-kernel",
    "nvidia-cublas": "nvidia-cublas==13.10.0.20",
}
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_24_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")


@pytest.fixture(scope="session")
def wheel() -> Callable[[str], Path]:
    """``wheel("sgl-kernel")`` is the file; skips when no directory was given."""
    if "TRTLLM_BUILDER_WHEELS" not in os.environ:
        pytest.skip("TRTLLM_BUILDER_WHEELS names no directory for 1.1 GB of wheels")
    place = Path(os.environ["TRTLLM_BUILDER_WHEELS"])

    def find(name: str) -> Path:
        def there() -> Path | None:
            return next(iter(sorted(place.glob(f"{name.replace('-', '_')}-*.whl"))), None)

        if there() is None:
            options = [*(f"--platform={one}" for one in PLATFORMS), "--python-version=3.11", f"--dest={place}"]
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*pip, *options, WHEELS[name]], check=True)
        found = there()
        assert found
        return found

    return find


@pytest.fixture(scope="session")
def library(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """``library("nvidia-cublas", "libcublasLt.so.13")``: that member, unpacked: cuobjdump reads files only."""

    def unpack(name: str, file: str) -> Path:
        target = tmp_path_factory.mktemp("library") / file
        with zipfile.ZipFile(wheel(name)) as archive:
            member = next(info for info in archive.infolist() if info.filename.endswith("/" + file))
            with archive.open(member) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
        return target

    return unpack
