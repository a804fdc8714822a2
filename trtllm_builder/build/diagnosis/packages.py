"""Which package brings a header, a library or a CMake package: Debian and Ubuntu, conda-forge, pip."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """``names`` matches a header as it is included, a library (``nccl``, ``libnccl.so.2``) or a name that CMake
    looks for. Packages are "" where there is none, or none that we know; ``note`` is what else a builder should know.
    """

    what: str
    names: re.Pattern[str]
    apt: str = ""
    conda: str = ""
    pip: str = ""
    note: str = ""

    @property
    def brings(self) -> str:
        ways = []
        if self.apt:
            ways.append(f"apt-get install {self.apt}")
        if self.conda:
            ways.append(f"conda install -c conda-forge {self.conda}")
        if self.pip:
            ways.append(f"pip install {self.pip}")
        return ", or ".join(ways)


def _part(what: str, names: str, apt: str = "", conda: str = "", pip: str = "", note: str = "") -> Part:
    # ".so", a version and "lib" before a library's name say nothing about where it comes from.
    return Part(what, re.compile(rf"(?:{names})\Z"), apt, conda, pip, note)


_SINGLE = "A single-device wheel needs none of it: set build.cmake.{} to 0 in the profile."
_MULTI_DEVICE = _SINGLE.format("ENABLE_MULTI_DEVICE")
_ALREADY = (
    "ENABLE_MULTI_DEVICE is 0 in this build already, and {} wants it all the same: leave that out if it can be "
    "(BUILD_DEEP_EP and its like: OFF in build.cmake, with `patches: [optional-modules]`; for userbuffers "
    "`patches: [ub-allocator]`), or install it"
)
_SUBMODULE = (
    "It is part of upstream's checkout: source.submodules: true in the profile fetches it, or in a checkout of "
    "your own "
    "`git submodule update --init --recursive`."
)
_TOOLKIT = (
    "The CUDA toolkit is incomplete; -VV stands for its version, such as 12-9 or 13-0. cuda.root names another one."
)
# The first that matches counts. What begins with cuda-, libcu or libnv comes from NVIDIA's own Debian repository.
PARTS = (
    _part(
        "TensorRT",
        r"NvInfer\w*\.h|NvOnnx\w*\.h|nv(?:infer|onnxparser)\w*|TensorRT",
        apt="libnvinfer-dev",
        note="TensorRT's tar archive, unpacked, has headers and libraries: name its directory in tensorrt.root.",
    ),
    _part(
        "Python's headers and library",
        r"Python\.h|pyconfig\.h|python3(?:\.\d+)?t?|Python3?|Development(?:\.\w+)*",
        apt="python3-dev (or python3.10-dev and so on, of the very version that builds)",
        conda="python",
    ),
    _part(
        "NCCL",
        r"nccl\w*\.h|nccl\w*|NCCL",
        "libnccl-dev",
        "nccl",
        "nvidia-nccl-cu12",
        _MULTI_DEVICE,
    ),
    _part(
        "MPI",
        r"mpi\.h|mpi\w*|MPI\w*|open-rte|open-pal",
        "libopenmpi-dev",
        "openmpi",
        "",
        _MULTI_DEVICE,
    ),
    _part("UCX", r"uc[pst]/.*|uc[pstm]|ucx|ucxx|UCX", "libucx-dev", "ucx", "", _SINGLE.format("ENABLE_UCX")),
    _part("NUMA", r"numa\w*\.h|numa|NUMA", "libnuma-dev", "numactl"),
    _part("ZeroMQ", r"zmq\.h\w*|zmq\w*\.hpp|zmq|ZeroMQ|cppzmq", "libzmq3-dev cppzmq-dev", "zeromq cppzmq"),
    _part("OpenSSL", r"openssl/.*|ssl|crypto|OpenSSL", "libssl-dev", "openssl"),
    _part(
        "the NVIDIA driver",
        r"cuda\.so|cuda|nvidia-ml\.so|nvidia-ml|nvidia-ptxjitcompiler",
        note="It belongs to the driver, not to a package for building. To link, the toolkit's stubs are enough: "
        "put $CUDA_HOME/lib64/stubs into LIBRARY_PATH. To run, a GPU must be given to the container (--gpus all).",
    ),
    _part(
        "cuDNN",
        r"cudnn\w*\.h|cudnn\w*|CUDNN|cuDNN",
        "libcudnn9-dev-cuda-12 (or -13)",
        "cudnn",
        "nvidia-cudnn-cu12 (or -cu13)",
    ),
    _part(
        "cuBLAS",
        r"cublas\w*\.h|cublas\w*",
        "libcublas-dev-VV",
        "libcublas-dev",
        "nvidia-cublas-cu12 (nvidia-cublas for 13)",
        _TOOLKIT,
    ),
    _part(
        "cuRAND",
        r"curand\w*\.h|curand\w*",
        "libcurand-dev-VV",
        "libcurand-dev",
        "nvidia-curand-cu12 (nvidia-curand for 13)",
        _TOOLKIT,
    ),
    _part(
        "cuSPARSE",
        r"cusparse\w*\.h|cusparse\w*",
        "libcusparse-dev-VV",
        "libcusparse-dev",
        "nvidia-cusparse-cu12 (nvidia-cusparse for 13)",
        _TOOLKIT,
    ),
    _part("cuSOLVER", r"cusolver\w*\.h|cusolver\w*", "libcusolver-dev-VV", "libcusolver-dev", "", _TOOLKIT),
    _part("NVML's header", r"nvml\.h", "cuda-nvml-dev-VV", "cuda-nvml-dev", "", _TOOLKIT),
    _part(
        "NVRTC",
        r"nvrtc\.h|nvrtc\w*|nvrtc-builtins\w*|nvptxcompiler_static|nvPTXCompiler\.h",
        "cuda-nvrtc-dev-VV cuda-nvcc-VV",
        "cuda-nvrtc-dev",
        "",
        _TOOLKIT,
    ),
    _part(
        "NVTX",
        r"nvToolsExt\.h|nvtx3/.*|nvToolsExt",
        "cuda-nvtx-VV",
        "cuda-nvtx-dev",
        "",
        "NVTX_DISABLE: ON in build.cmake leaves it out.",
    ),
    _part(
        "cuFile",
        r"cufile\.h|cufile",
        "libcufile-dev-VV",
        "libcufile-dev",
        "",
        "ENABLE_CUFILE: 0 in build.cmake leaves it out.",
    ),
    _part(
        "the CUDA toolkit",
        r"cuda\w*\.h|cub/.*|thrust/.*|cuda/std/.*|crt/.*|fatbinary\w*\.h|cudart\w*|cudadevrt|culibos|CUDA"
        r"|CUDAToolkit|CUDAToolkit_\w+",
        "cuda-toolkit-VV",
        "cuda-toolkit",
        "",
        _TOOLKIT,
    ),
    _part(
        "InfiniBand verbs (DeepEP)",
        r"infiniband/.*|mlx5|ibverbs|rdmacm|rdma/.*",
        "libibverbs-dev librdmacm-dev",
        "rdma-core",
        "",
        "BUILD_DEEP_EP: OFF in build.cmake leaves out what needs it; one GPU has no use for it.",
    ),
    _part(
        "a library of upstream's",
        r"pybind11/.*|nanobind/.*|nlohmann/.*|cxxopts\.hpp|cutlass/.*|cute/.*|xgrammar/.*|nvtx3\.hpp|ucxx/.*"
        r"|deep_gemm/.*|gtest/.*|gmock/.*|pybind11|nanobind",
        note=_SUBMODULE,
    ),
    _part(
        "PyTorch",
        r"torch/.*|ATen/.*|c10/.*|torch\w*|c10\w*|Torch",
        pip="torch (the version in upstream's requirements.txt)",
    ),
    _part(
        "the C library's headers",
        r"(?:std\w+|limits|features|string|unistd|assert|errno)\.h|sys/.*|bits/.*|gnu/stubs.*|linux/.*|c",
        "build-essential",
    ),
    _part("zlib", r"zlib\.h|z|ZLIB", "zlib1g-dev", "zlib"),
    _part("libffi", r"ffi\.h|ffi", "libffi-dev", "libffi"),
    _part("libcurl", r"curl/.*|curl|CURL", "libcurl4-openssl-dev", "libcurl"),
    _part("OpenGL (for OpenCV)", r"GL", "libgl1", "libgl"),
    _part("OpenMP", r"omp\.h|gomp|OpenMP\w*", "libgomp1", "libgomp"),
    _part("Git", r"Git|GIT_EXECUTABLE", "git", "git"),
    _part("pkg-config", r"PkgConfig", "pkg-config", "pkg-config"),
)


def bare(name: str) -> str:
    """``libnccl.so.2`` and ``-lnccl`` are ``nccl``; headers and CMake's names stay as they are."""
    if name.endswith((".h", ".hpp")) or ("/" in name and ".so" not in name and not name.endswith(".a")):
        return name
    name = re.sub(r"^(?:.*/)?(?:-l|lib(?=.*\.(?:so|a)\b))", "", name)
    return re.sub(r"\.(?:so(?:\.[\d.]+)?|a)$", "", name)


def find(name: str) -> Part | None:
    """The part that a header, library or CMake name belongs to."""
    return next((part for part in PARTS if part.names.match(bare(name))), None)


def look_up(name: str, single_device: str = "") -> dict[str, str]:
    """For templates: ``part`` and ``advice``, nothing when it is not known. ``single_device``: what
    wants it, in a build whose ENABLE_MULTI_DEVICE is 0 already."""
    part = find(name)
    if part is None:
        return {}
    note = _ALREADY.format(single_device) if single_device and part.note == _MULTI_DEVICE else part.note
    ways = f"it comes with {part.brings}" if part.brings else ""
    return {"part": part.what, "advice": ". ".join(text.rstrip(".") for text in (ways, note) if text)}
