"""Checks of what libraries ask for: forbidden communication libraries and symbols, and paths of the build machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from trtllm_builder.verify.checks import Check, Evidence, Severity, few, judged
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library

_REBUILD = (
    "Build with ENABLE_MULTI_DEVICE=0 and ENABLE_UCX=0: in a container without a process manager such a wheel hangs "
    "when it is imported or first used."
)
_MULTI = (
    "It is made for several devices: it loads only where these libraries are installed, and in a container without a "
    "process manager MPI may hang. `trtllm-build doctor --wheel` says whether it would here."
)
# Where toolkits are installed; nothing else of the machine that built it belongs into a wheel.
_TOOLKITS = re.compile(r"/usr/local/cuda[\w.-]*(/|$)|/opt/(rocm|nvidia|intel)[\w.-]*(/|$)|/usr/local/tensorrt(/|$)")


def link_checks(libraries: Sequence[Library], expectation: Expectation) -> tuple[Check, ...]:
    """elf, forbidden-libraries, forbidden-symbols and runpath."""
    strict: Severity = "error" if expectation.single_device else "warning"
    remedy = _REBUILD if expectation.single_device else _MULTI
    read = [library for library in libraries if not library.error]
    return (
        judged(
            "elf",
            "every shared library can be read",
            [Evidence(library.error, library.path) for library in libraries if library.error],
            seen=f"{len(read)} read",
            remedy="The file is damaged or not for 64-bit Linux: what it links and holds is unknown. Build again.",
        ),
        judged(
            "forbidden-libraries",
            "no MPI, NCCL, UCX or NVSHMEM library is needed",
            [
                Evidence(f"needs or is {', '.join(lib.forbidden_libraries)}", lib.path)
                for lib in read
                if lib.forbidden_libraries
            ],
            severity=strict,
            remedy=remedy,
        ),
        judged(
            "forbidden-symbols",
            "no MPI, NCCL, UCX or NVSHMEM symbol is used or carried",
            [Evidence(few(lib.forbidden_symbols), lib.path) for lib in read if lib.forbidden_symbols],
            severity=strict,
            remedy=remedy,
        ),
        _runpath(read, expectation),
    )


def _runpath(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "libraries are looked for relative to the wheel"
    wrong: list[Evidence] = []
    toolkits: list[Evidence] = []
    others: list[Evidence] = []
    for library in libraries:
        for path in (*library.rpath, *library.runpath):
            if path.startswith(("$ORIGIN", "${ORIGIN}")):
                if _climbs_out(library.path, path):
                    wrong.append(Evidence(f"looks in {path}, which is outside of site-packages", library.path))
            elif not path.startswith("/"):
                wrong.append(Evidence(f"looks in {path}, relative to whatever directory is current", library.path))
            elif any(PurePosixPath(path).is_relative_to(root) for root in expectation.build_paths):
                wrong.insert(0, Evidence(f"looks in {path}, which is the build's own directory", library.path))
            elif _TOOLKITS.match(path):
                toolkits.append(Evidence(f"looks in {path}", library.path))
            else:
                others.append(Evidence(f"looks in {path}, a path of the machine that built it", library.path))
    if wrong:
        return judged(
            "runpath",
            title,
            wrong + others + toolkits,
            severity="error" if expectation.strict else "warning",
            remedy="Whoever can write there can put code into every process that loads it: strip these paths.",
        )
    # A toolkit's own path is harmless where it does not exist, and wrong where it holds another version.
    return judged(
        "runpath",
        title,
        others + toolkits,
        severity="warning",
        seen="$ORIGIN or none",
        remedy="Harmless where these directories do not exist; a surprise where they hold other versions.",
    )


def _climbs_out(member: str, path: str) -> bool:
    """Whether ``$ORIGIN/../..`` leaves the directory that the wheel is installed into. Packages beside it are within,
    and so is the environment's ``lib`` above: upstream and conda use it."""
    depth = len(PurePosixPath(member).parent.parts) + 3  # lib/python3.11/site-packages
    for part in path.split("/")[1:]:
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False
