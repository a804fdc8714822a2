"""Archives that the user hands over (CUDA toolkit, TensorRT), unpacked once each into the data directory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from trtllm_builder.errors import HostError, Where
from trtllm_builder.process import run
from trtllm_builder.tools.advice import runfile_options
from trtllm_builder.tools.archive import extract
from trtllm_builder.tools.store import Entry, Log, Make, fill
from trtllm_builder.tools.tree import complete_links, merge_components, missing_parts

_SAMPLE = 2**20


def unpack_toolkit(archive: Path, data_dir: Path, environ: Mapping[str, str], log: Log) -> Path:
    """The CUDA toolkit's root in ``archive``: NVIDIA's runfile (``*.run``), or a tar archive of a toolkit or of its
    redistributable components. Raises HostError."""
    make = partial(_make_toolkit, archive, environ)
    entry = _entry("cuda", archive, data_dir, make, log)
    return entry.path / entry.facts["root"]


def unpack_tensorrt(archive: Path, data_dir: Path, log: Log) -> Path:
    """TensorRT's root in ``archive`` (a tar archive from NVIDIA), without its static libraries. Raises HostError."""
    entry = _entry("tensorrt", archive, data_dir, partial(_make_tensorrt, archive), log)
    return entry.path / entry.facts["root"]


def unpacked_roots(kind: str, data_dir: Path) -> list[Path]:
    """Directories of earlier unpackings of ``kind`` (``cuda`` or ``tensorrt``); they may be incomplete."""
    return sorted(data_dir.glob(f"tools/{kind}-archive-*"))


def entry_directory(kind: str, archive: Path, data_dir: Path) -> Path:
    """Where an archive is unpacked. Its identity is size, beginning and end: hashing gigabytes would cost minutes."""
    try:
        with archive.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(str(size).encode())
            for offset in (0, max(0, size - _SAMPLE)):
                file.seek(offset)
                digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise HostError(
            f"cannot be read: {error.strerror}",
            where=Where(str(archive)),
            remedy="give the path of the file that you downloaded",
        ) from error
    return data_dir / "tools" / f"{kind}-archive-{digest.hexdigest()[:12]}"


def _entry(kind: str, archive: Path, data_dir: Path, make: Make, log: Log) -> Entry:
    archive = archive.absolute()
    directory = entry_directory(kind, archive, data_dir)
    if not directory.exists():
        log(f"unpacking {archive} into {directory}")
    return fill(directory, make, log, needs=archive.stat().st_size)


def _make_toolkit(
    archive: Path, environ: Mapping[str, str], tree: Path, scratch: Path
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    if archive.suffix == ".run":
        _run(archive, environ, tree / "toolkit", scratch)
    else:
        extract(archive, tree)
        merge_components(tree)
    root = _holding("bin/nvcc", tree, archive)
    complete_links(tree / root)
    missing = missing_parts(tree / root)
    if missing:
        raise HostError(
            f"the CUDA toolkit in it lacks {', '.join(missing)}",
            where=Where(str(archive)),
            remedy="use NVIDIA's runfile, or an archive that holds cuda_nvcc, cuda_cudart, cuda_cccl and cuda_crt",
        )
    return {"archive": archive.name, "root": root}, (f"{root}/bin/nvcc",)


def _run(runfile: Path, environ: Mapping[str, str], directory: Path, scratch: Path) -> None:
    # It is the user's own file, run with the user's rights; its settings and its log stay in the scratch directory.
    env = {**environ, "HOME": str(scratch), "TMPDIR": str(scratch), "PERL5LIB": "."}
    done = run(["sh", runfile, *runfile_options(directory, scratch)], env=env, cwd=scratch, timeout=3600)
    if not done.ok:
        raise HostError(
            f"the runfile did not install: {done.last_line}",
            where=Where(str(runfile)),
            remedy="compare its size with NVIDIA's page; unpacking takes twice its size on the data disk",
        )


def _make_tensorrt(archive: Path, tree: Path, _scratch: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
    extract(archive, tree, skip=lambda name: name.endswith(".a"))
    root = _holding("include/NvInferVersion.h", tree, archive)
    return {"archive": archive.name, "root": root}, (f"{root}/include/NvInferVersion.h",)


def _holding(part: str, tree: Path, archive: Path) -> str:
    """The directory, relative to ``tree``, that holds ``part``: the top or at most two levels below it."""
    for pattern in (part, f"*/{part}", f"*/*/{part}"):
        for path in sorted(tree.glob(pattern)):
            root = path.parents[len(Path(part).parts) - 1]
            return root.relative_to(tree).as_posix()
    raise HostError(
        f"there is no {part} in it", where=Where(str(archive)), remedy="this is not the archive that is needed here"
    )
