"""Checks of what libraries ask for: forbidden communication libraries and symbols, and paths of the build machine."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, Severity, judged
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library

_REBUILD = (
    "Build with ENABLE_MULTI_DEVICE=0 and ENABLE_UCX=0: in a container without a process manager such a wheel hangs "
    "when it is imported or first used."
)


def link_checks(libraries: Sequence[Library], expectation: Expectation) -> tuple[Check, ...]:
    """elf, forbidden-libraries, forbidden-symbols and runpath."""
    strict: Severity = "error" if expectation.single_device else "warning"
    read = [library for library in libraries if not library.error]
    return (
        judged(
            "elf",
            "every shared library can be read",
            [f"{library.path}: {library.error}" for library in libraries if library.error],
            seen=f"{len(read)} read",
            remedy="The file is damaged or not for 64-bit Linux: what it links and holds is unknown. Build again.",
        ),
        judged(
            "forbidden-libraries",
            "no MPI, NCCL, UCX or NVSHMEM library is needed",
            [f"{lib.path} needs or is {', '.join(lib.forbidden_libraries)}" for lib in read if lib.forbidden_libraries],
            severity=strict,
            remedy=_REBUILD,
        ),
        judged(
            "forbidden-symbols",
            "no MPI, NCCL, UCX or NVSHMEM symbol is used or carried",
            [f"{lib.path}: {_few(lib.forbidden_symbols)}" for lib in read if lib.forbidden_symbols],
            severity=strict,
            remedy=_REBUILD,
        ),
        _runpath(read, expectation),
    )


def _runpath(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "libraries are looked for relative to the wheel"
    built: list[str] = []
    foreign: list[str] = []
    for library in libraries:
        for path in (*library.rpath, *library.runpath):
            if path.startswith(("$ORIGIN", "${ORIGIN}")):
                continue
            line = f"{library.path} looks in {path}"
            inside = any(path == root or path.startswith(root.rstrip("/") + "/") for root in expectation.build_paths)
            (built if inside else foreign).append(line)
    if built:
        return Check("runpath", "error", "failed", title, tuple(built + foreign), "Strip the build tree's paths.")
    # A toolkit's own path is harmless where it does not exist, and wrong where it holds another version.
    return judged(
        "runpath",
        title,
        foreign,
        severity="warning",
        seen="$ORIGIN or none",
        remedy="Harmless where these directories do not exist; a surprise where they hold other versions.",
    )


def requirement_checks(wheel: Wheel, expectation: Expectation) -> tuple[Check, ...]:
    """requires-dist: no forbidden requirement. NCCL as torch's own dependency is only mentioned."""
    problems, mentioned = [], []
    for text in wheel.header("Requires-Dist"):
        try:
            name = canonicalize_name(Requirement(text).name)
        except InvalidRequirement:
            problems.append(f"not a requirement: {text}")
            continue
        if name in expectation.forbidden_requirements:
            problems.append(f"requires {text}")
        elif name.startswith(("nvidia-nccl", "nvidia-nvshmem")):
            mentioned.append(f"requires {text} (PyTorch does too)")
    return (
        judged(
            "requires-dist",
            "nothing forbidden is required from the index",
            problems,
            severity="error" if expectation.single_device else "warning",
            seen="; ".join(mentioned) or f"{len(wheel.header('Requires-Dist'))} requirements",
            remedy="Take the line out of requirements.txt before packaging (the single-device patches do).",
        ),
    )


def _few(names: tuple[str, ...], keep: int = 5) -> str:
    return ", ".join(names[:keep]) + (f" and {len(names) - keep} more" if len(names) > keep else "")
