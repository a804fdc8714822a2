"""The MPI audit of a checkout or a wheel, each place with the shipped patch set that closes it.

Whether a set closes a place is not claimed by the set: the audit is made again over what the set would leave.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from trtllm_builder.binary.elf import ElfError, read_elf
from trtllm_builder.binary.stream import Stream
from trtllm_builder.binary.wheel import WheelError, read_wheel
from trtllm_builder.errors import BuilderError, UsageError
from trtllm_builder.patching.read import PatchSet
from trtllm_builder.patching.sets import check
from trtllm_builder.upstream.audit.audit import audit, with_closings, without_collection
from trtllm_builder.upstream.audit.frame import Facts
from trtllm_builder.upstream.audit.model import MpiAudit
from trtllm_builder.upstream.audit.package import PACKAGE, Package
from trtllm_builder.upstream.probe import prebuilt_mpi
from trtllm_builder.upstream.tree import Tree


@without_collection()
def audit_tree(tree: Path, sets: Sequence[PatchSet], facts: Mapping[str, str], multi_device: bool) -> MpiAudit:
    """The package in a checkout, or in a site-packages directory. Raises UsageError when there is none.

    Notes say when the tree cannot be built for one device whatever becomes of its Python, and when the sets that close
    a way could not be applied to it as it lies there.
    """
    if not (tree / PACKAGE / "__init__.py").is_file():
        raise UsageError(
            f"{tree} has no {PACKAGE}/__init__.py", remedy="give a TensorRT-LLM checkout, a site-packages, or a wheel"
        )
    files = Tree(tree)
    assumed = Facts(multi_device=multi_device)
    package = Package.of_tree(files)
    found = audit(package, assumed)
    if multi_device:
        return found
    notes = []
    archives = prebuilt_mpi(files)
    if archives:
        notes.append(
            "whatever closes here, this tree cannot be built single-device: its batch manager and executor are "
            f"prebuilt archives that need MPI ({archives[0]}); `probe` tells more"
        )
    if found.free:
        return replace(found, notes=(*found.notes, *notes))
    after: dict[str, MpiAudit] = {}
    with _patchable(files) as root:
        for one in sets:
            try:
                changes = check([one], root, facts).changes
            except BuilderError as error:
                notes.append(f"the patch set {one.name} does not fit here: {error.what}")
                continue
            changed = {change.path: change.after for change in changes if change.path.endswith(".py")}
            if any(path.startswith(f"{PACKAGE}/") for path in changed):
                after[one.name] = audit(package.patched(changed), assumed)
    closed = with_closings(found, after)
    if after and not (tree / "requirements.txt").exists():
        notes.append("there is no requirements.txt here, so that `patches apply` refuses this directory")
    return replace(closed, notes=(*closed.notes, *notes))


@contextmanager
def _patchable(files: Tree) -> Iterator[Path]:
    """The tree itself when it is a checkout; of an installed package a copy of its Python with a requirements.txt,
    which sets want to take mpi4py out of."""
    if (files.root / "requirements.txt").exists():
        yield files.root
        return
    with tempfile.TemporaryDirectory(prefix="audit-") as directory:
        root = Path(directory)
        for name, _size in files.files(PACKAGE):
            data = files.read(name) if name.endswith(".py") else None
            if data is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(data)
        (root / "requirements.txt").write_text("mpi4py\ntorch\n")
        yield root


def audit_wheel(wheel: Path, sets: Sequence[PatchSet], multi_device: bool | None) -> MpiAudit:
    """The package in a wheel. With ``multi_device`` None, a wheel whose libraries need libmpi is taken for one of many
    devices, since what a compiled BuildInfo says can only be asked by running it.

    Raises UsageError for what is no wheel with this package in it.
    """
    linked: list[str] = []

    def visit(name: str, stream: Stream) -> None:
        with suppress(ElfError):
            linked.extend(needed for needed in read_elf(stream).needed if needed.startswith("libmpi"))

    try:
        read = read_wheel(
            wheel,
            visit=visit if multi_device is None else None,
            keep=lambda name: name.endswith((".py", ".dist-info/entry_points.txt")),
        )
    except (WheelError, OSError) as error:
        raise UsageError(f"{wheel} cannot be read as a wheel: {error}", remedy="give a .whl file") from error
    if f"{PACKAGE}/__init__.py" not in read.texts:
        raise UsageError(
            f"{wheel} has no {PACKAGE}/__init__.py that can be read", remedy="give a wheel of TensorRT-LLM"
        )
    with tempfile.TemporaryDirectory(prefix="audit-") as directory:
        root = Path(directory)
        for name, text in read.texts.items():
            path = root / name
            if ".." not in path.parts and root in path.parents:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return audit_tree(root, sets, {}, bool(linked) if multi_device is None else multi_device)
