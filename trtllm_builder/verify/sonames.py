"""Who brings a shared library: the platform, the driver, a package from the index, or nobody known.

Sources: PEP 600 and auditwheel's policies for what every manylinux platform has; the file lists of NVIDIA's packages
on PyPI and of PyTorch's wheels. NVIDIA's packages end in ``-cu12`` up to CUDA 12; from 13 on those that follow the
toolkit's version have no suffix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

# What PEP 600 platforms all have, and the loader itself.
_PLATFORM = frozenset({
    "libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libutil.so.1", "libnsl.so.1",
    "libresolv.so.2", "libanl.so.1", "libmvec.so.1", "libgcc_s.so.1", "libstdc++.so.6", "libatomic.so.1", "libz.so.1",
    "libexpat.so.1", "libX11.so.6", "libXext.so.6", "libXrender.so.1", "libICE.so.6", "libSM.so.6", "libGL.so.1",
    "libglib-2.0.so.0", "libgobject-2.0.so.0", "libgthread-2.0.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
})  # fmt: skip
_DRIVER = ("libcuda.so.1", "libcuda.so", "libnvidia-*.so*", "libnvcuvid.so.*")
# soname stem -> the package's name without its suffix
_NVIDIA = {
    "libcublas": "cublas", "libcublasLt": "cublas", "libnvblas": "cublas", "libcudart": "cuda-runtime",
    "libnvrtc": "cuda-nvrtc", "libnvrtc-builtins": "cuda-nvrtc", "libnvJitLink": "nvjitlink", "libcufft": "cufft",
    "libcufftw": "cufft", "libcurand": "curand", "libcusolver": "cusolver", "libcusolverMg": "cusolver",
    "libcusparse": "cusparse", "libcusparseLt": "cusparselt", "libcudnn": "cudnn", "libcupti": "cuda-cupti",
    "libcufile": "cufile", "libnvToolsExt": "nvtx", "libnvjpeg": "nvjpeg", "libnvfatbin": "nvfatbin",
    "libnvptxcompiler": "nvptxcompiler", "libnccl": "nccl", "libnvshmem_host": "nvshmem", "libnppc": "npp",
}  # fmt: skip
# Libraries whose own major version is the CUDA toolkit's, and those whose is not: (stem, major) -> CUDA.
_FOLLOWS = frozenset({"libcublas", "libcublasLt", "libnvblas", "libcudart", "libnvrtc", "libnvJitLink", "libcupti"})
_CUDA = {
    ("libcufft", 10): 11, ("libcufft", 11): 12, ("libcufft", 12): 13,
    ("libcusolver", 12): 13, ("libnvjpeg", 11): 11, ("libnvjpeg", 12): 12, ("libnvjpeg", 13): 13,
}  # fmt: skip
_TORCH = ("libtorch*.so", "libc10*.so", "libshm.so", "libcaffe2*.so")
_TENSORRT = ("libnvinfer*.so.*", "libnvonnxparser.so.*")
_SONAME = re.compile(r"(lib[\w+-]+?)\.so(?:\.(\d+)[\d.]*)?")

Bringer = Literal["platform", "driver", "package", "unknown"]


@dataclass(frozen=True)
class Source:
    """``packages``: fnmatch patterns of projects, any of which brings it. ``cuda``: which toolkit it belongs to."""

    kind: Bringer
    packages: tuple[str, ...] = ()
    cuda: int | None = None


def source_of(soname: str) -> Source:
    """Who brings ``soname`` to a machine."""
    if soname in _PLATFORM:
        return Source("platform")
    if any(fnmatchcase(soname, pattern) for pattern in _DRIVER):
        return Source("driver")
    if any(fnmatchcase(soname, pattern) for pattern in _TORCH):
        return Source("package", ("torch",))
    if any(fnmatchcase(soname, pattern) for pattern in _TENSORRT):
        return Source("package", ("tensorrt", "tensorrt-cu*", "tensorrt-libs"))
    match = _SONAME.fullmatch(soname)
    if match and match[1] in _NVIDIA:
        project, cuda = f"nvidia-{_NVIDIA[match[1]]}", cuda_major(soname)
        suffixes = (f"-cu{cuda}", *(("",) if cuda >= 13 else ())) if cuda else ("-cu*", "")
        return Source("package", tuple(project + suffix for suffix in suffixes), cuda)
    return Source("unknown")


def cuda_major(soname: str) -> int | None:
    """Which CUDA toolkit a library of NVIDIA's belongs to; None where its version does not say."""
    match = _SONAME.fullmatch(soname)
    if not match or match[2] is None:
        return None
    return int(match[2]) if match[1] in _FOLLOWS else _CUDA.get((match[1], int(match[2])))


def brought(source: Source, required: Iterable[str]) -> str | None:
    """The required project that brings it, torch for NVIDIA's libraries too, since PyTorch requires those it links."""
    names = list(required)
    for name in names:
        if any(fnmatchcase(name, pattern) for pattern in source.packages):
            return name
    # Which CUDA a torch is for its name does not say; the report does.
    if source.kind == "package" and "torch" in names:
        return "torch"
    return None
