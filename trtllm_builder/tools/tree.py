"""What a CUDA toolkit's directory must hold to compile and link, and the two links that NVIDIA's wheels leave out."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

_PROGRAMS = ("bin/nvcc", "bin/ptxas", "bin/cudafe++", "bin/fatbinary", "nvvm/bin/cicc")


def _target() -> str:
    """NVIDIA's name of this machine's directory under ``targets``."""
    machine = platform.machine()
    return "sbsa-linux" if machine == "aarch64" else f"{machine}-linux"


def missing_parts(root: Path) -> tuple[str, ...]:
    """What keeps ``root`` from being a toolkit that CMake can use; empty when it is one.

    nvcc.profile looks for libraries in ``lib64`` or under ``targets``, never in ``lib``.
    """
    includes = (root / "include", root / "targets" / _target() / "include")
    libraries = (root / "lib64", root / "targets" / _target() / "lib")
    missing = [name for name in _PROGRAMS if not (root / name).is_file()]
    for header in ("cuda_runtime.h", "crt/host_config.h"):
        if not any((place / header).is_file() for place in includes):
            missing.append(f"include/{header}")
    # libcu++'s nv/target, which cuda_fp16.h includes; CUDA 13 moved it below include/cccl.
    if not any((place / name / "target").is_file() for place in includes for name in ("nv", "cccl/nv")):
        missing.append("include/nv/target")
    for library in ("libcudart.so", "libcudart_static.a"):
        if not any((place / library).exists() for place in libraries):
            missing.append(f"lib64/{library}")
    return tuple(missing)


def complete_links(root: Path) -> None:
    """Adds ``lib64`` and the unversioned ``lib*.so`` names that linking by ``-l`` needs, where they are missing.

    Only for trees of our own. The links are relative, so that the tree can be moved.
    """
    if not (root / "lib64").exists() and (root / "lib").is_dir():
        (root / "lib64").symlink_to("lib")
    for library in sorted((root / "lib64").glob("lib*.so.*")):
        plain = library.with_name(library.name.partition(".so.")[0] + ".so")
        if not plain.exists():
            plain.symlink_to(library.name)


def merge_components(tree: Path) -> None:
    """NVIDIA's redistributable components (``cuda_nvcc-linux-x86_64-12.9.86-archive/``) become one ``toolkit``."""
    for component in sorted(tree.glob("*-archive")):
        shutil.copytree(component, tree / "toolkit", symlinks=True, dirs_exist_ok=True, copy_function=_move)
        shutil.rmtree(component)


def _move(source: str, destination: str) -> None:
    Path(source).replace(destination)
