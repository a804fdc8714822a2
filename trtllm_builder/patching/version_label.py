"""The local version label (``+sd.cu130.sm89``) in upstream's version.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import libcst as cst
from packaging.version import InvalidVersion, Version

from trtllm_builder.errors import PatchError, UsageError, Where
from trtllm_builder.patching.document import decode
from trtllm_builder.patching.edited import Misfit
from trtllm_builder.patching.python_tree import parse
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.tree import Tree
from trtllm_builder.patching.write import write_all

VERSION_FILE = "tensorrt_llm/version.py"
# PEP 440's local version, normalised.
_LABEL = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+)*")
# Our labels begin with one of these (single-device, multi-device); whatever stands before it is upstream's own.
_OURS = ("sd", "md")


def labelled(version: str, label: str) -> str:
    """``version`` with ``label`` behind upstream's own local part, in place of an earlier label of ours.

    Raises ValueError for a version that PEP 440 does not know, or a label that begins with neither ``sd`` nor ``md``.
    """
    if not _LABEL.fullmatch(label) or label.split(".")[0] not in _OURS:
        raise ValueError(f"{label!r} is not a label of ours, such as sd.cu130.sm89")
    parts = (Version(version).local or "").split(".")
    ours = next((index for index, part in enumerate(parts) if part in _OURS), len(parts))
    kept = parts[:ours]
    return str(Version(version.split("+")[0] + "+" + ".".join([*filter(None, kept), label])))


def set_version_label(tree: Path, label: str) -> str:
    """Put ``label`` into ``__version__`` of the checkout's version.py, and return the version that stands there then.

    Writes nothing when it stands there already. Raises as :func:`labelled_changes` does.
    """
    version, changes = labelled_changes(tree, label)
    if changes:
        write_all(tree, changes)
    return version


def labelled_changes(tree: Path, label: str, changes: Sequence[Change] = ()) -> tuple[str, tuple[Change, ...]]:
    """The version with ``label``, and ``changes`` (of patch sets, not yet written) with that of the label among them.

    The label adds nothing when it stands there already. Raises PatchError when the file has another shape, UsageError
    for a label that is not one of ours.
    """
    where = Where(str(tree / VERSION_FILE))
    file = Tree(tree).original(VERSION_FILE)
    pending = next((change.after for change in changes if change.path == file.path), file.data)
    if pending is None:
        raise PatchError(
            "the version file is not there", where=where, remedy="name the root of a TensorRT-LLM checkout"
        )
    document = decode(pending)
    try:
        code = parse(document.text)
        literal = _literal(code.module)
        version = literal.raw_value
        where = Where(where.path, code.line(literal))
        wanted = labelled(version, label)
    except Misfit as error:
        raise PatchError(error.what, where=Where(where.path, error.line)) from None
    except InvalidVersion:
        raise PatchError(f"{version!r} is not a version as PEP 440 has it", where=where) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    if wanted == version:
        return wanted, tuple(changes)
    code.replace_node(literal, literal.with_changes(value=f"{literal.prefix}{literal.quote}{wanted}{literal.quote}"))
    change = Change(file.path, file.data, document.encode(code.text()), file.mode)
    return wanted, (*(one for one in changes if one.path != file.path), change)


def _literal(module: cst.Module) -> cst.SimpleString:
    found = [
        part.value
        for line in module.body
        if isinstance(line, cst.SimpleStatementLine)
        for part in line.body
        if isinstance(part, cst.Assign)
        and len(part.targets) == 1
        and isinstance(part.targets[0].target, cst.Name)
        and part.targets[0].target.value == "__version__"
    ]
    if len(found) != 1 or not isinstance(found[0], cst.SimpleString):
        raise Misfit(f'expected one line __version__ = "...", found {len(found) or "none"}')
    return found[0]
