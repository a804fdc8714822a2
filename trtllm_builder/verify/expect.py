"""What a wheel is held against: a build's plan, the record beside it, its own version label, or nothing but sense.

``strict`` decides what doubtful things mean, and it is the whole logic of severities: a wheel that was made to a plan
(or carries our label) fails for them; a stranger's wheel is only warned about, since nobody promised anything. What
makes any wheel unsafe or unusable (archive, RECORD, unreadable libraries, a version of two minds) and what was asked
for by name (``--arch``, ``--profile``) is an error for both. A check whose question does not arise is skipped or told
as information.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from trtllm_builder.errors import UsageError
from trtllm_builder.verify.capability import runnable
from trtllm_builder.verify.tried import Answer

# fnmatch patterns of file names. libmlx5 is DeepEP's; the driver's libnvidia-ml and libcuda are no part of this.
FORBIDDEN_LIBRARIES = (
    "libmpi.so*", "libmpi_*.so*", "libmpicxx.so*", "libpmix.so*", "libnccl.so*", "libnccl-*.so*",
    "libucp.so*", "libucs.so*", "libuct.so*", "libucm.so*", "libucxx.so*",
    "libnvshmem*.so*", "nvshmem_*.so*", "libmlx5.so*",
)  # fmt: skip
FORBIDDEN_SYMBOLS = (
    r"P?MPI_[A-Z]\w*", r"ompi_\w+", r"PMIx_\w+", r"p?nccl[A-Z]\w*", r"uc[pstm]_\w+", r"nvshmem[a-z]*_\w+"
)  # fmt: skip
# GPU code must be in upstream's main library, whatever the others hold.
KERNELS = ("libtensorrt_llm.so",)
_TARGET = re.compile(r"(?:sm_)?(\d{2,3})([af]?)")
_LABEL = re.compile(r"(?:.*\.)?(sd|md)\.cu(\d+)((?:\.sm\d{2,3})+)", re.DOTALL)
_RECORD_LIMIT = 64 << 20  # bytes


@dataclass(frozen=True)
class Expectation:
    """``required``: of each group at least one target must be in every one of ``libraries`` (fnmatch patterns of file
    names; without patterns, somewhere in the wheel). ``allowed`` None: any target may be there. ``ptx``: virtual
    architectures whose PTX must be there; None: no wish, and empty: none is wanted. Sizes in bytes.

    ``single_device``: MPI, NCCL, UCX and NVSHMEM have no business there, and BuildInfo says 0. ``strict``: see above.
    ``build_paths`` are directories that exist only where the wheel was built. ``import_deadline`` (seconds) and
    ``answer`` are for the smoke test. ``recorded``: a record of these very bytes lies beside the wheel. ``origin``:
    what the wheel is held against; ``reason``: where the targets come from.
    """

    required: tuple[frozenset[str], ...] = ()
    allowed: frozenset[str] | None = None
    ptx: frozenset[str] | None = None
    libraries: tuple[str, ...] = ()
    single_device: bool = False
    strict: bool = False
    forbidden_libraries: tuple[str, ...] = FORBIDDEN_LIBRARIES
    forbidden_symbols: tuple[str, ...] = FORBIDDEN_SYMBOLS
    forbidden_requirements: tuple[str, ...] = ("mpi4py",)
    max_size: int | None = None
    version: str | None = None
    python_tag: str | None = None
    build_paths: tuple[str, ...] = ()
    import_deadline: float = 120.0
    answer: Answer | None = None
    recorded: bool = False
    origin: str = "nothing but sense: it has no profile, no record and no label of ours"
    reason: str = ""


def required_groups(architectures: Sequence[str]) -> tuple[frozenset[str], ...]:
    """``sm_90`` (or ``90``) is met by machine code that runs there: sm_90, sm_90a, sm_90f or an older minor version's;
    ``sm_90a`` only by itself. Raises UsageError."""
    groups = []
    for text in architectures:
        match = _TARGET.fullmatch(text.strip())
        if not match:
            raise UsageError(f"{text!r} is no GPU architecture", remedy="Write it as sm_89, sm_90a or sm_120.")
        number, suffix = match.groups()
        groups.append(frozenset([f"sm_{number}{suffix}"]) if suffix else runnable(int(number)))
    return tuple(groups)


def asked_for(expectation: Expectation, architectures: Sequence[str]) -> Expectation:
    """``expectation`` with the architectures of ``--arch`` in place of its own. Raises UsageError."""
    if not architectures:
        return expectation
    return replace(expectation, required=required_groups(architectures), reason="asked for with --arch")


def expectation_for(wheel: Path) -> Expectation:
    """What the record beside ``wheel`` says when it is of these very bytes, else its version label, else nothing."""
    return from_record(wheel) or from_label(wheel.name) or Expectation()


def from_plan(plan: Mapping[str, Any], *, version: str | None, origin: str) -> Expectation:
    """``plan`` is a plan's JSON document (schemas/plan.json); ``version`` is known once the label was set."""
    wanted, options = plan["verification"], {one["name"]: one["value"] for one in plan["options"]}
    return Expectation(
        required=tuple(frozenset(group) for group in wanted["targets"]["required"]),
        allowed=frozenset(wanted["targets"]["allowed"]),
        ptx=frozenset(),
        libraries=KERNELS,
        single_device=options.get("ENABLE_MULTI_DEVICE") == "0",
        strict=True,
        max_size=wanted["max_size"],
        version=version,
        python_tag="cp" + "".join(str(plan["python_version"]).split(".")[:2]),
        build_paths=tuple(filter(None, [(plan["workspace"] or {}).get("value")])),
        import_deadline=wanted["import_deadline"],
        answer=Answer(wanted["model"], wanted["prompt"], wanted["expect"]) if wanted["model"] else None,
        origin=origin,
        reason=wanted["targets"]["reason"],
    )


def from_record(wheel: Path) -> Expectation | None:
    """None when there is no record beside the wheel, or it is damaged or of other bytes than these: see
    checks/beside.py, which tells that."""
    try:
        found = read_record(wheel) if record_path(wheel).exists() else None
        return found[1] if found and found[0] == _sha256(wheel) else None
    except (OSError, ValueError):
        return None


def record_path(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}.record.json")


def read_record(wheel: Path) -> tuple[str, Expectation]:
    """The sha256 of the wheel that the record beside ``wheel`` is of, and what it promises of that.

    Raises OSError, and ValueError for what is no record of ours.
    """
    path = record_path(wheel)
    if not path.is_file() or path.stat().st_size > _RECORD_LIMIT:
        raise ValueError("it is no file, or too large for a record")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = from_plan(record["plan"], version=record["patches"]["version"], origin="the record beside it")
        return str(record["wheel"]["sha256"]), replace(found, recorded=True)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError("it is JSON, and no record of ours") from error
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error


def from_label(file_name: str) -> Expectation | None:
    """A version such as ``1.2.0+sd.cu130.sm89`` is a promise of ours: single-device, and runs on sm_89."""
    try:
        name, version, _, _ = parse_wheel_filename(file_name)
    except InvalidWheelFilename:
        return None
    match = _LABEL.fullmatch(version.local or "")
    if name != "tensorrt-llm" or not match:
        return None
    kind, _, architectures = match.groups()
    return Expectation(
        required=tuple(runnable(int(one.removeprefix("sm"))) for one in architectures.strip(".").split(".")),
        libraries=KERNELS,
        single_device=kind == "sd",
        strict=True,
        origin=f"its version label {version.local}",
        reason="the label says so",
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
