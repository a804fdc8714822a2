"""What a wheel is held against. The build fills this from its plan; ``verify WHEEL`` from its command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trtllm_builder.errors import UsageError

# fnmatch patterns of file names. libmlx5 is DeepEP's; the driver's libnvidia-ml and libcuda are no part of this.
FORBIDDEN_LIBRARIES = (
    "libmpi.so*", "libmpi_*.so*", "libmpicxx.so*", "libpmix.so*", "libnccl.so*", "libnccl-*.so*",
    "libucp.so*", "libucs.so*", "libuct.so*", "libucm.so*", "libucxx.so*",
    "libnvshmem*.so*", "nvshmem_*.so*", "libmlx5.so*",
)  # fmt: skip
FORBIDDEN_SYMBOLS = (
    r"P?MPI_[A-Z]\w*", r"ompi_\w+", r"PMIx_\w+", r"p?nccl[A-Z]\w*", r"uc[pstm]_\w+", r"nvshmem[a-z]*_\w+"
)  # fmt: skip
_TARGET = re.compile(r"(?:sm_)?(\d{2,3})([af]?)")


@dataclass(frozen=True)
class Expectation:
    """``required``: of each group at least one target must be in every one of ``libraries`` (fnmatch patterns of file
    names; without patterns, somewhere in the wheel). ``allowed`` None: any target may be there. Sizes in bytes.

    ``single_device`` makes MPI, NCCL, UCX and NVSHMEM errors (warnings otherwise) and asks BuildInfo for 0.
    ``build_paths`` are directories that exist only where the wheel was built. ``reason``: where the targets come from.
    """

    required: tuple[frozenset[str], ...] = ()
    allowed: frozenset[str] | None = None
    libraries: tuple[str, ...] = ()
    single_device: bool = False
    forbidden_libraries: tuple[str, ...] = FORBIDDEN_LIBRARIES
    forbidden_symbols: tuple[str, ...] = FORBIDDEN_SYMBOLS
    forbidden_requirements: tuple[str, ...] = ("mpi4py",)
    max_size: int | None = None
    version: str | None = None
    python_tag: str | None = None
    build_paths: tuple[str, ...] = ()
    reason: str = ""


def required_groups(architectures: Sequence[str]) -> tuple[frozenset[str], ...]:
    """``sm_90`` (or ``90``) is met by sm_90, sm_90a or sm_90f code; ``sm_90a`` only by itself. Raises UsageError."""
    groups = []
    for text in architectures:
        match = _TARGET.fullmatch(text.strip())
        if not match:
            raise UsageError(f"{text!r} is no GPU architecture", remedy="Write it as sm_89, sm_90a or sm_120.")
        number, suffix = match.groups()
        groups.append(frozenset(f"sm_{number}{s}" for s in ((suffix,) if suffix else ("", "a", "f"))))
    return tuple(groups)


def for_stranger(file_name: str, architectures: Sequence[str]) -> Expectation:
    """For a wheel without a plan. One of TensorRT-LLM is held to be single-device: that is what this tool is for.

    Raises UsageError for an architecture that cannot be meant.
    """
    return Expectation(
        required=required_groups(architectures),
        single_device=file_name.startswith("tensorrt_llm-"),
        reason="asked for with --arch" if architectures else "",
    )
