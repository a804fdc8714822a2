"""Checks of GPU code: what must be there, what may be there, and PTX."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from trtllm_builder.verify.checks import Check, judged, skipped
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library


def target_checks(libraries: Sequence[Library], expectation: Expectation) -> tuple[Check, ...]:
    """gpu-targets, gpu-targets-allowed and ptx. An unreadable library fails gpu-targets: its code is unknown."""
    return (_required(libraries, expectation), _allowed(libraries, expectation), _ptx(libraries))


def _required(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "GPU code for every architecture asked for"
    if not expectation.required:
        return skipped("gpu-targets", title, "no architecture was asked for", severity="info", remedy="Give --arch.")
    problems = [f"{library.path} cannot be read: {library.error}" for library in libraries if library.error]
    if expectation.libraries:
        for pattern in expectation.libraries:
            found = [library for library in libraries if fnmatchcase(library.name, pattern)]
            if not found:
                problems.append(f"the wheel holds no {pattern}")
            for library in found:
                problems += _missing(library.name, library.cubins, library.ptx, expectation)
    else:
        cubins = frozenset(target for library in libraries for target in library.cubins)
        ptx = frozenset(target for library in libraries for target in library.ptx)
        problems += _missing("the wheel", cubins, ptx, expectation)
    wanted = ", ".join(_group(group) for group in expectation.required)
    return judged(
        "gpu-targets",
        title,
        problems,
        seen=f"{wanted} in {', '.join(expectation.libraries) or 'the wheel'}",
        remedy="Build with these architectures in the profile's cuda.architectures, or take a wheel made for this GPU."
        + (f" ({expectation.reason})" if expectation.reason else ""),
    )


def _missing(where: str, cubins: frozenset[str], ptx: frozenset[str], expectation: Expectation) -> list[str]:
    problems = []
    for group in expectation.required:
        if group & cubins:
            continue
        held = ", ".join(sorted(cubins, key=_number)) or "no machine code"
        virtual = sorted(name for name in ptx if name.replace("compute_", "sm_") in group)
        also = f"; {virtual[0]} PTX is there, which the driver would have to compile" if virtual else ""
        problems.append(f"{where} lacks {_group(group)}: it holds {held}{also}")
    return problems


def _allowed(libraries: Sequence[Library], expectation: Expectation) -> Check:
    title = "no GPU code beyond what was asked for"
    allowed = expectation.allowed
    if allowed is None:
        return skipped("gpu-targets-allowed", title, "every architecture is allowed", severity="info")
    problems = [
        f"{library.path} holds {', '.join(sorted(library.cubins - allowed, key=_number))}"
        for library in libraries
        if library.cubins - allowed
    ]
    return judged(
        "gpu-targets-allowed",
        title,
        problems,
        seen=f"only {', '.join(sorted(allowed, key=_number))}",
        remedy="The build compiled for other architectures than the plan says; read the configure step in its log.",
    )


def _ptx(libraries: Sequence[Library]) -> Check:
    held = [f"{lib.path}: {', '.join(sorted(lib.ptx, key=_number))}" for lib in libraries if lib.ptx]
    return Check("ptx", "info", "passed", "PTX, which newer drivers can compile", tuple(held) or ("none",))


def _group(group: frozenset[str]) -> str:
    return " or ".join(sorted(group, key=_number))


def _number(target: str) -> tuple[int, str]:
    return int("".join(filter(str.isdigit, target)) or 0), target
